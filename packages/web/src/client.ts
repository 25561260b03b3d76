import {
  type Concept,
  type GenerateOptions as CoreGenerateOptions,
  disposedModel,
  type GenerateSettings,
  readConcept,
  type StepReport,
  TextualInversionError,
  writeConcept,
} from '@textual-inversion/core';
import * as Comlink from 'comlink';
import {
  type Answer,
  type EngineCalls,
  type EngineEvent,
  type LearnSettings,
  type ModelFacts,
  type ModelSource,
  type PreviewOptions,
  TINY,
  unwrap,
} from './engine/protocol.js';
import { blobSource, bytesSource } from './files/sources.js';
import { toImageData } from './images/codec.js';
import { fromPixelData, type PictureInput, toSent } from './images/read.js';
import { interruptible } from './interruptible.js';
import { openWorker } from './open-worker.js';

export interface LoadModelOptions {
  /** One of `BACKEND_NAMES`. @defaultValue 'auto' */
  readonly backend?: string;
  /** Folder at our own origin that `textual-inversion-web-assets` filled. @defaultValue `textual-inversion/` beside the page */
  readonly assetsUrl?: string | URL;
  /** A worker that runs `@textual-inversion/web/worker`; `false` to work on the page itself. @defaultValue a new one */
  readonly worker?: Worker | false;
  /** Threads of the WebAssembly engines. @defaultValue one per core */
  readonly threads?: number;
  /** Which of several sets of weights, such as `fp16`. */
  readonly variant?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Omit<Extract<EngineEvent, { kind: 'load' }>, 'kind'>) => void;
}

/** A model in its worker. */
export interface LoadedModel extends Omit<ModelFacts, 'id'> {
  /** Stops what it works at, frees its weights, and ends the worker if it was made for it. Calls end with OPTION_INVALID. */
  dispose(): Promise<void>;
  /** @internal */
  readonly connection: Connection;
}

interface Connection {
  readonly id: number;
  call<T>(
    start: (engine: Comlink.Remote<EngineCalls> | EngineCalls, port: MessagePort) => Promise<Answer<T>>,
    signal?: AbortSignal,
    onEvent?: (event: EngineEvent) => void,
  ): Promise<T>;
}

/**
 * Loads a model: `tiny` for the embedded one, the address of a folder in the diffusers layout (kept in private storage),
 * `{ stored }`, a directory handle, or dropped files.
 * @throws MODEL_*, WEIGHT_*, BACKEND_*, DOWNLOAD_FAILED, STORAGE_FULL, STORAGE_BUSY, ABORTED
 */
export async function loadModel(source: ModelSource = TINY, options: LoadModelOptions = {}): Promise<LoadedModel> {
  const { backend = 'auto', worker, threads, variant, signal, onProgress } = options;
  const assetsUrl = new URL(options.assetsUrl ?? 'textual-inversion/', document.baseURI).href;
  const own = worker === undefined ? openWorker() : undefined;
  const link = worker === false ? undefined : (worker ?? own);
  const engine = link
    ? Comlink.wrap<EngineCalls>(link)
    : await import('./engine/engine.js').then(({ createEngine }) => createEngine()); // a page with a worker need not load it
  const calls = interruptible();
  link?.addEventListener('error', (event) => calls.interrupt(brokenWorker(event)), { once: true });
  const call: Connection['call'] = async (begin, abort, onEvent) => {
    const { port1, port2 } = new MessageChannel();
    const stop = () => port1.postMessage('abort');
    const ended = new Promise<void>((resolve) => {
      port1.onmessage = ({ data }: MessageEvent<EngineEvent | 'end'>) => {
        if (data === 'end') resolve();
        else onEvent?.(data);
      };
    });
    if (abort?.aborted) stop();
    abort?.addEventListener('abort', stop, { once: true });
    try {
      return await calls.run(async () => {
        const result = unwrap(await begin(engine, link ? Comlink.transfer(port2, [port2]) : port2));
        await ended; // every event has come before the result does
        return result;
      });
    } finally {
      abort?.removeEventListener('abort', stop);
      port1.close();
    }
  };
  const request = { source: toCloneable(source), backend, assetsUrl, threads, variant };
  try {
    const { id, ...facts } = await call(
      (loader, port) => loader.load(request, port),
      signal,
      (event) => {
        if (event.kind === 'load') onProgress?.(event);
      },
    );
    const dispose = async () => {
      calls.interrupt(disposedModel());
      try {
        unwrap(await engine.unload(id));
      } finally {
        own?.terminate();
      }
    };
    let disposing: Promise<void> | undefined;
    return { ...facts, connection: { id, call }, dispose: () => (disposing ??= dispose()) };
  } catch (error) {
    own?.terminate();
    throw error;
  }
}

/** What is told while a word is learned. */
export interface LearnHooks {
  readonly signal?: AbortSignal;
  readonly onEncode?: (done: number, total: number) => void;
  readonly onStep?: (report: StepReport) => void;
  readonly onPreview?: (preview: { step: number; pixels: ImageData }) => void;
  readonly onCheckpoint?: (step: number) => void;
  /** The graphics device was lost, and training goes on from the last checkpoint. */
  readonly onRecovered?: (recovered: { step: number; backend: { name: string; reason: string } }) => void;
  /** Something that a person should know, such as that a checkpoint was not kept; the training goes on. */
  readonly onWarning?: (message: string) => void;
  /** Pictures drawn on the way. One that fails is a warning, and the last. */
  readonly preview?: PreviewOptions;
}

export interface InvertOptions extends LearnSettings, LearnHooks {
  readonly model: LoadedModel;
  /** Three to five of one thing, or of one style. */
  readonly images: readonly PictureInput[];
  /** Keeps the run in private storage under this name, so that `resume` goes on with it after a reload. With its first checkpoint it replaces the one before. */
  readonly run?: string;
}

/**
 * Learns a new word from pictures; none of them leaves this machine.
 * @throws IMAGE_*, TOKEN_*, INITIALIZER_INVALID, OPTION_INVALID, LOSS_NOT_FINITE, STORAGE_FULL, STORAGE_BUSY (another tab trains), ABORTED
 */
export async function invert({ model, images, run, ...rest }: InvertOptions): Promise<SavableConcept> {
  const { signal, onEncode, onStep, onPreview, onCheckpoint, onRecovered, onWarning, preview, ...settings } = rest;
  const hooks = { signal, onEncode, onStep, onPreview, onCheckpoint, onRecovered, onWarning, preview };
  const start = { pictures: images.map(toSent), settings: plain(settings) };
  return learn(model, { run, start }, hooks);
}

/**
 * Goes on with a run that is kept, to the same result as if it had never stopped.
 * @throws CHECKPOINT_CORRUPT, CHECKPOINT_MISMATCH, STORAGE_BUSY and what `invert` throws
 */
export async function resume({
  model,
  run,
  ...hooks
}: LearnHooks & { model: LoadedModel; run: string }): Promise<SavableConcept> {
  return learn(model, { run }, hooks);
}

async function learn(
  { connection }: LoadedModel,
  request: { run?: string; start?: { pictures: ReturnType<typeof toSent>[]; settings: LearnSettings } },
  hooks: LearnHooks,
): Promise<SavableConcept> {
  const { preview } = hooks;
  const concept = await connection.call(
    (engine, port) => engine.learn({ ...request, preview, model: connection.id }, port),
    hooks.signal,
    (event) => {
      if (event.kind === 'encode') hooks.onEncode?.(event.done, event.total);
      if (event.kind === 'step') hooks.onStep?.(event.report);
      if (event.kind === 'checkpoint') hooks.onCheckpoint?.(event.step);
      if (event.kind === 'recovered') hooks.onRecovered?.(event);
      if (event.kind === 'warning') hooks.onWarning?.(event.message);
      if (event.kind === 'preview')
        hooks.onPreview?.({ step: event.step, pixels: toImageData(fromPixelData(event.picture)) });
    },
  );
  return savable(concept);
}

export interface GenerateOptions extends CoreGenerateOptions {
  readonly model: LoadedModel;
  readonly onWarning?: (message: string) => void;
}

/** A drawn picture. */
export interface GeneratedPicture {
  readonly pixels: ImageData;
  /** A PNG file with the settings in its text. */
  readonly png: Blob;
  /** What it was drawn with: alone, the same settings draw it again. */
  readonly settings: GenerateSettings;
}

/**
 * Draws pictures from a prompt, with learned words in it.
 * @throws OPTION_INVALID, SIZE_INVALID, CONCEPT_WIDTH, PROMPT_TOO_LONG, ABORTED
 */
export async function generate({
  model,
  signal,
  onStep,
  onWarning,
  ...options
}: GenerateOptions): Promise<GeneratedPicture[]> {
  const { connection } = model;
  const concepts = options.concepts?.map(plainConcept);
  const drawn = await connection.call(
    (engine, port) => engine.draw({ model: connection.id, options: { ...options, concepts } }, port),
    signal,
    (event) => {
      if (event.kind === 'draw') onStep?.(event.step, event.steps);
    },
  );
  for (const warning of drawn.warnings) onWarning?.(warning);
  return drawn.pictures.map(({ pixels, png, settings }) => ({
    pixels: toImageData(fromPixelData(pixels)),
    png: new Blob([new Uint8Array(png)], { type: 'image/png' }),
    settings,
  }));
}

/** A concept that can be offered for download. */
export interface SavableConcept extends Concept {
  /** The concept's file. @param format - One of `CONCEPT_FORMATS`. @throws OPTION_INVALID, CONCEPT_WIDTH */
  toBlob(format?: string): Blob;
}

/** Reads a concept in any format in use; nothing in it is run. @throws CONCEPT_FORMAT, CONCEPT_UNSAFE */
export async function loadConcept(
  file: Blob | Uint8Array,
  { token, name = file instanceof File ? file.name : 'concept' }: { token?: string; name?: string } = {},
): Promise<SavableConcept & { readonly format: string }> {
  const source = file instanceof Blob ? blobSource(file, name) : bytesSource(file, name);
  const { concept, format } = await readConcept(source, token);
  return { ...savable(token === undefined ? concept : { ...concept, token }), format };
}

function savable(concept: Concept): SavableConcept {
  return { ...concept, toBlob: (format) => new Blob([new Uint8Array(writeConcept(concept, format))]) };
}

/** With concepts as plain data: what a message carries. */
function plain(settings: LearnSettings): LearnSettings {
  const { initializer } = settings;
  return typeof initializer === 'object' && 'rows' in initializer
    ? { ...settings, initializer: plainConcept(initializer) }
    : settings;
}

function plainConcept({ token, rows, info }: Concept): Concept {
  return { token, rows, info };
}

function toCloneable(source: ModelSource): ModelSource {
  if (typeof source !== 'string' || source === TINY) return source;
  return new URL(source, document.baseURI).href;
}

function brokenWorker(event: ErrorEvent): TextualInversionError {
  return new TextualInversionError('BACKEND_LOST', {
    where: 'the worker',
    expected: 'to run',
    found: event.message || 'a script that did not load',
    fix: 'Reload the page; check that the worker and its assets are served.',
  });
}
