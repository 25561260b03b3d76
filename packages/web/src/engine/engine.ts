import {
  type ByteSource,
  type ChosenBackend,
  type Concept,
  type DiffusionModel,
  type DrawnPicture,
  disposedModel,
  type ErrorCode,
  type FileTree,
  fillIn,
  generate,
  INVERT_DEFAULTS,
  inspectModel,
  invert,
  loadModel,
  numberIn,
  parametersText,
  TextualInversionError,
} from '@textual-inversion/core';
import { createBackend } from '../backends.js';
import { address, listRemote, remoteTree } from '../files/remote.js';
import { bytesSource, directoryTree, filesTree } from '../files/sources.js';
import { downloadModel, openStoredModel } from '../files/store.js';
import { codec } from '../images/codec.js';
import { fromPixelData, type PixelData, readPicture, toPixelData } from '../images/read.js';
import {
  answer,
  type Drawn,
  type DrawRequest,
  type EngineCalls,
  type EngineEvent,
  type LearnRequest,
  type LearnSettings,
  type LoadRequest,
  type ModelFacts,
  messageOf,
  type PreviewOptions,
  TINY,
} from './protocol.js';
import { keepRun, openRun, type RunKeeper, whileTraining } from './runs.js';
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
      withModel(request.model, port, (loaded, link) => whileTraining(() => learn(loaded, request, link))),
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
  /** Until one fails: then none are drawn any more. */
  preview: PreviewOptions | undefined;
}

async function learn(loaded: Loaded, request: LearnRequest, link: Link): Promise<Concept> {
  if (request.preview) checkPreview(request.preview);
  const progress = await beginOrOpen(loaded.model, request);
  try {
    return await learnOn(loaded, progress, link);
  } finally {
    await progress.keeper?.close();
  }
}

/** Learns to the end, on other devices where one is lost. */
async function learnOn(loaded: Loaded, progress: Progress, link: Link): Promise<Concept> {
  for (let lost = -1; ; ) {
    try {
      return await learnOnce(loaded.model, progress, link);
    } catch (error) {
      if (codeOf(error) !== 'BACKEND_LOST') throw error;
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

async function beginOrOpen(model: DiffusionModel, request: LearnRequest): Promise<Progress> {
  const { run, start: begin, preview } = request;
  if (begin) {
    const { settings } = begin;
    const pictures: PixelData[] = []; // one after another: a camera's are large
    for (const [i, picture] of begin.pictures.entries()) pictures.push(toPixelData(await readPicture(picture, i)));
    const steps = settings.steps ?? model.hints.steps ?? INVERT_DEFAULTS.steps;
    const keeper = run === undefined ? undefined : await keepRun(run, model.name, steps, settings, pictures);
    return { settings, pictures, keeper, losses: [], checkpoint: undefined, step: 0, preview };
  }
  const keeper = await openRun(run ?? '', model.name);
  const { settings, pictures, losses, checkpoint, step } = keeper;
  return { settings, pictures, keeper, losses: [...losses], checkpoint, step, preview };
}

function learnOnce(model: DiffusionModel, progress: Progress, { signal, tell }: Link): Promise<Concept> {
  const { settings, pictures, keeper, losses, checkpoint: resume } = progress;
  const keep = async (bytes: Uint8Array, step: number): Promise<void> => {
    try {
      await keeper?.save(bytes, step, losses);
      tell({ kind: 'checkpoint', step });
    } catch (error) {
      // Not worth the word that is being learned.
      tell({ kind: 'warning', message: `Step ${step} was not kept. ${messageOf(error)}` });
    }
  };
  let withoutLoss: Uint8Array | undefined;
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
        if (losses.length < step) withoutLoss = bytes;
        else await keep(bytes, step);
      },
      onStep: async (report, concept) => {
        losses[report.step - 1] = report.loss;
        tell({ kind: 'step', report });
        if (withoutLoss) await keep(withoutLoss, report.step);
        withoutLoss = undefined;
        const { preview } = progress;
        if (!preview || report.step % preview.everySteps !== 0 || signal.aborted) return;
        try {
          for (const { pixels } of await drawPreview(model, preview, concept(), signal))
            tell({ kind: 'preview', step: report.step, picture: toPixelData(pixels) });
        } catch (error) {
          if (codeOf(error) === 'BACKEND_LOST') throw error;
          if (codeOf(error) === 'ABORTED') return; // training stops by itself, unless it is over
          progress.preview = undefined;
          tell({ kind: 'warning', message: `There are no more previews. ${messageOf(error)}` });
        }
      },
    },
  );
}

function codeOf(error: unknown): ErrorCode | undefined {
  return error instanceof TextualInversionError ? error.code : undefined;
}

/** @throws OPTION_INVALID */
function checkPreview({ everySteps, prompt }: PreviewOptions): void {
  numberIn('preview.everySteps', everySteps, { min: 1, integer: true });
  if (prompt?.includes('{}') === false) {
    throw new TextualInversionError('OPTION_INVALID', {
      where: 'preview.prompt',
      expected: 'a text with {} where the word goes',
      found: JSON.stringify(prompt),
    });
  }
}

async function drawPreview(
  model: DiffusionModel,
  { prompt: sentence = 'a photo of {}', seed, steps = 12, guidanceScale }: PreviewOptions,
  concept: Concept,
  signal: AbortSignal,
): Promise<readonly DrawnPicture[]> {
  const prompt = fillIn(sentence, concept.token);
  const drawn = await generate(model, { prompt, concepts: [concept], seed, steps, guidanceScale, signal });
  return drawn.pictures;
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
