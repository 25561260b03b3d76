import type {
  Concept,
  DiffusionModel,
  ErrorCode,
  GenerateOptions,
  GenerateSettings,
  InvertOptions,
  ModelFamily,
  StepReport,
} from '@textual-inversion/core';
import { TextualInversionError } from '@textual-inversion/core';
import type { RemoteFiles } from '../files/remote.js';
import type { PixelData, SentPicture } from '../images/read.js';

/** The embedded model's name, and its folder among the assets. */
export const TINY = 'tiny';

/** Where a model is. A string is an address, or `tiny` for the embedded one. */
export type ModelSource =
  | string
  | { readonly url: string; readonly files?: RemoteFiles; readonly keepAs?: string }
  | { readonly stored: string }
  | FileSystemDirectoryHandle
  | readonly File[];

export interface LoadRequest {
  readonly source: ModelSource;
  readonly backend: string;
  readonly assetsUrl: string;
  readonly threads?: number;
  readonly variant?: string;
}

/** What the page knows of a model that is loaded. */
export interface ModelFacts {
  readonly id: number;
  readonly name: string;
  readonly family: ModelFamily;
  readonly sizePx: number;
  readonly backend: { readonly name: string; readonly reason: string };
  readonly hints: DiffusionModel['hints'];
  readonly sampler: string;
}

export type LearnSettings = Omit<InvertOptions, 'resume'>;

/** Pictures drawn from the concept while it is learned. */
export interface PreviewOptions {
  /** Steps between previews. */
  readonly everySteps: number;
  /** With `{}` for the word. @defaultValue `a photo of {}` */
  readonly prompt?: string;
  /** @defaultValue 0 */
  readonly seed?: number;
  /** Steps of the sampler. @defaultValue 12 */
  readonly steps?: number;
  /** @defaultValue what the model advises, or 7.5 */
  readonly guidanceScale?: number;
}

export interface LearnRequest {
  readonly model: number;
  /** Name of the run in private storage; none is kept without it. */
  readonly run?: string;
  readonly preview?: PreviewOptions;
  /** A new run, or `undefined` to go on with the one that is kept. */
  readonly start?: { readonly pictures: readonly SentPicture[]; readonly settings: LearnSettings };
}

export interface DrawRequest {
  readonly model: number;
  readonly options: Omit<GenerateOptions, 'signal' | 'onStep'>;
}

export interface Drawn {
  readonly pictures: readonly {
    readonly pixels: PixelData;
    readonly png: Uint8Array;
    readonly settings: GenerateSettings;
  }[];
  readonly warnings: readonly string[];
}

/** What the engine tells while it works. */
export type EngineEvent =
  | {
      readonly kind: 'load';
      readonly phase: 'download' | 'weights';
      readonly part: string;
      readonly bytes: number;
      readonly totalBytes: number;
    }
  | { readonly kind: 'encode'; readonly done: number; readonly total: number }
  | { readonly kind: 'step'; readonly report: StepReport }
  | { readonly kind: 'preview'; readonly step: number; readonly picture: PixelData }
  | { readonly kind: 'checkpoint'; readonly step: number }
  | {
      readonly kind: 'recovered';
      readonly step: number;
      readonly backend: { readonly name: string; readonly reason: string };
    }
  | { readonly kind: 'draw'; readonly step: number; readonly steps: number }
  | { readonly kind: 'warning'; readonly message: string };

/** What crosses from a worker: a value, or the error with its code. */
export type Answer<T> =
  | { readonly value: T }
  | {
      readonly error: {
        readonly code?: ErrorCode;
        readonly message: string;
        readonly details: Record<string, unknown>;
      };
    };

/** The engine as the page calls it. Calls that take long have a port: events come out of it, `abort` goes in. */
export interface EngineCalls {
  load(request: LoadRequest, port: MessagePort): Promise<Answer<ModelFacts>>;
  learn(request: LearnRequest, port: MessagePort): Promise<Answer<Concept>>;
  draw(request: DrawRequest, port: MessagePort): Promise<Answer<Drawn>>;
  /** Stops what the model works at, and frees it. */
  unload(model: number): Promise<Answer<undefined>>;
}

export async function answer<T>(action: () => Promise<T>): Promise<Answer<T>> {
  try {
    return { value: await action() };
  } catch (error) {
    const message = messageOf(error);
    if (!(error instanceof TextualInversionError)) return { error: { message, details: {} } };
    return { error: { code: error.code, message, details: cloneable(error.details) } };
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function unwrap<T>(given: Answer<T>): T {
  if ('value' in given) return given.value;
  const { code, message, details } = given.error;
  throw code === undefined ? new Error(message) : new TextualInversionError(code, { where: message, details });
}

/** Details that a message can carry. */
function cloneable(details: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(details).filter(([, value]) => typeof value !== 'function' && !(value instanceof Error)),
  );
}
