import {
  type ByteSource,
  type ChosenBackend,
  type Concept,
  type DiffusionModel,
  type FileTree,
  generate,
  INVERT_DEFAULTS,
  inspectModel,
  invert,
  loadModel,
  parametersText,
  TextualInversionError,
} from '@textual-inversion/core';
import { createBackend } from '../backends.js';
import { exclusively } from '../files/private-files.js';
import { address, listRemote, remoteTree } from '../files/remote.js';
import { bytesSource, directoryTree, filesTree } from '../files/sources.js';
import { downloadModel, openStoredModel } from '../files/store.js';
import { codec } from '../images/codec.js';
import { fromPixelData, type PixelData, readPicture, toPixelData } from '../images/read.js';
import {
  answer,
  type Drawn,
  type DrawRequest,
  disposedModel,
  type EngineCalls,
  type EngineEvent,
  type LearnRequest,
  type LearnSettings,
  type LoadRequest,
  type ModelFacts,
  TINY,
} from './protocol.js';
import { keepRun, openRun, type RunKeeper } from './runs.js';
import { takingTurns } from './turns.js';

interface Loaded {
  model: DiffusionModel;
  backend: ChosenBackend;
  readonly tree: FileTree;
  readonly request: LoadRequest;
  /** Aborted when the model is to go. */
  readonly closing: AbortController;
  /** What works with it. */
  readonly work: Set<Promise<unknown>>;
}

interface Link {
  readonly signal: AbortSignal;
  tell(event: EngineEvent): void;
}

/** Does the work: in a worker, or on the page for those who have one of their own. */
export function createEngine(): EngineCalls {
  const models = new Map<number, Loaded>();
  let nextId = 1;
  const find = (id: number): Loaded => {
    const loaded = models.get(id);
    if (loaded) return loaded;
    throw disposedModel();
  };
  /** Lets a model work, until it is to go. */
  const withModel = <T>(id: number, port: MessagePort, action: (loaded: Loaded, link: Link) => Promise<T>) =>
    withLink(port, ({ signal, tell }) => {
      const loaded = find(id);
      const work = action(loaded, { signal: AbortSignal.any([signal, loaded.closing.signal]), tell });
      loaded.work.add(work);
      return work.finally(() => loaded.work.delete(work));
    });
  return {
    load: (request, port) =>
      withLink(port, async (link) => {
        const tree = await openSource(request, link);
        await inspectModel(tree, request); // a wrong folder is refused before an engine starts
        const started = await start(tree, request, link);
        const loaded: Loaded = { tree, request, ...started, closing: new AbortController(), work: new Set() };
        const id = nextId++;
        models.set(id, loaded);
        return factsOf(id, loaded);
      }),
    learn: (request, port) =>
      withModel(request.model, port, (loaded, link) => exclusively('training', () => learn(loaded, request, link))),
    draw: (request, port) => withModel(request.model, port, ({ model }, link) => draw(model, request, link)),
    unload: (id) =>
      answer(async () => {
        const loaded = find(id);
        models.delete(id);
        loaded.closing.abort();
        await Promise.allSettled(loaded.work);
        loaded.model.dispose();
        return undefined;
      }),
  };
}

/** Listens for `abort`, and sends events. */
function withLink<T>(port: MessagePort, action: (link: Link) => Promise<T>) {
  const controller = new AbortController();
  port.onmessage = ({ data }) => {
    if (data === 'abort') controller.abort();
  };
  return answer(async () => {
    try {
      return await action({ signal: controller.signal, tell: (event) => port.postMessage(event) });
    } finally {
      port.postMessage('end');
    }
  });
}

async function openSource({ source, assetsUrl, variant }: LoadRequest, { signal, tell }: Link): Promise<FileTree> {
  if (typeof source === 'string' && source === TINY) {
    const folder = address(assetsUrl, TINY);
    return { ...remoteTree(folder, await listRemote(folder, signal), signal), name: TINY };
  }
  if (typeof source === 'object' && 'kind' in source) return directoryTree(source);
  if (typeof source === 'object' && 'stored' in source) return openStoredModel(source.stored);
  if (typeof source === 'object' && 'length' in source) return filesTree(source);
  const { url, files, keepAs } =
    typeof source === 'string' ? { url: source, files: undefined, keepAs: undefined } : source;
  return downloadModel(url, {
    name: keepAs,
    files,
    variant,
    signal,
    onProgress: ({ path, bytes, totalBytes }) =>
      tell({ kind: 'load', phase: 'download', part: path, bytes, totalBytes }),
  });
}

/** Makes an engine and loads the model into it. */
async function start(tree: FileTree, request: LoadRequest, { signal, tell }: Link, without: readonly string[] = []) {
  const backend = await createBackend(request.backend, request, without);
  const model = await loadModel(tree, takingTurns(backend.runtime), {
    variant: request.variant,
    signal,
    onProgress: ({ part, bytes, totalBytes }) => tell({ kind: 'load', phase: 'weights', part, bytes, totalBytes }),
  });
  return { backend, model };
}

function factsOf(id: number, { model, backend }: Loaded): ModelFacts {
  const { name, family, sizePx, hints, scheduler } = model;
  const { name: backendName, reason } = backend;
  return { id, name, family, sizePx, hints, sampler: scheduler.sampler, backend: { name: backendName, reason } };
}

/** A training as it goes on: what has to survive a lost device or a closed tab. */
interface Progress {
  readonly settings: LearnSettings;
  readonly pictures: readonly PixelData[];
  readonly keeper: RunKeeper | undefined;
  readonly losses: number[];
  checkpoint: ByteSource | undefined;
  step: number;
}

async function learn(loaded: Loaded, request: LearnRequest, link: Link): Promise<Concept> {
  const progress = await beginOrOpen(loaded.model, request);
  for (let lost = -1; ; ) {
    try {
      const concept = await learnOnce(loaded.model, progress, request, link);
      await progress.keeper?.finish();
      return concept;
    } catch (error) {
      if (!(error instanceof TextualInversionError) || error.code !== 'BACKEND_LOST') throw error;
      // Lost twice at the same step: this device will not do.
      const without = lost === progress.step ? [loaded.backend.name] : [];
      lost = progress.step;
      loaded.model.dispose();
      const { request: wanted } = loaded;
      const backend = without.length > 0 ? { ...wanted, backend: 'auto' } : wanted;
      Object.assign(loaded, await start(loaded.tree, backend, link, without));
      const { name, reason } = loaded.backend;
      link.tell({ kind: 'recovered', step: progress.step, backend: { name, reason } });
    }
  }
}

async function beginOrOpen(model: DiffusionModel, { run, start: begin }: LearnRequest): Promise<Progress> {
  if (begin) {
    const { settings } = begin;
    const pictures: PixelData[] = []; // one after another: a camera's are large
    for (const [i, picture] of begin.pictures.entries()) pictures.push(toPixelData(await readPicture(picture, i)));
    const steps = settings.steps ?? model.hints.steps ?? INVERT_DEFAULTS.steps;
    const keeper = run === undefined ? undefined : await keepRun(run, model.name, steps, settings, pictures);
    return { settings, pictures, keeper, losses: [], checkpoint: undefined, step: 0 };
  }
  const keeper = await openRun(run ?? '', model.name);
  const { settings, pictures, losses, checkpoint } = keeper;
  return { settings, pictures, keeper, losses: [...losses], checkpoint, step: losses.length };
}

function learnOnce(
  model: DiffusionModel,
  progress: Progress,
  { preview }: LearnRequest,
  { signal, tell }: Link,
): Promise<Concept> {
  const { settings, pictures, keeper, losses, checkpoint: resume } = progress;
  return invert(
    model,
    pictures.map(fromPixelData),
    { ...settings, resume },
    {
      signal,
      onEncode: (done, total) => tell({ kind: 'encode', done, total }),
      onWarning: (message) => tell({ kind: 'warning', message }),
      onCheckpoint: async (bytes, step) => {
        progress.checkpoint = bytesSource(bytes, 'last checkpoint');
        progress.step = step;
        await keeper?.save(bytes, step, losses);
        tell({ kind: 'checkpoint', step });
      },
      onStep: async (report, concept) => {
        losses[report.step - 1] = report.loss;
        tell({ kind: 'step', report });
        if (!preview || report.step % preview.everySteps !== 0 || signal.aborted) return;
        const { prompt = 'a photo of {}', seed = 0, steps = 12, guidanceScale } = preview;
        const learned = concept();
        const text = prompt.replaceAll('{}', learned.token);
        const drawn = await generate(model, { prompt: text, concepts: [learned], seed, steps, guidanceScale });
        for (const picture of drawn.pictures)
          tell({ kind: 'preview', step: report.step, picture: toPixelData(picture.pixels) });
      },
    },
  );
}

async function draw(model: DiffusionModel, { options }: DrawRequest, { signal, tell }: Link): Promise<Drawn> {
  const { pictures, warnings } = await generate(model, {
    ...options,
    signal,
    onStep: (step, steps) => tell({ kind: 'draw', step, steps }),
  });
  return {
    warnings,
    pictures: await Promise.all(
      pictures.map(async ({ pixels, settings }) => ({
        pixels: toPixelData(pixels),
        png: await codec.encodePng(pixels, { parameters: parametersText(settings) }),
        settings,
      })),
    ),
  };
}
