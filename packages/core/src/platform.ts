/**
 * The ports. Core computes; whoever binds it to Node or to a browser brings bytes, pictures and an engine.
 */
import type { Tensor } from './tf.js';

/** Random access to the bytes of one file, wherever it is. */
export interface ByteSource {
  /** A name for error messages, such as `unet/diffusion_pytorch_model.safetensors`. */
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
  /** Path in the file system, where there is one. An engine may map the file by it instead of reading it. */
  readonly path?: string;
  /** What the file is now: changes when it does (size and time of modification, or an ETag). Keys caches. */
  readonly version?: string;
  /** Reads exactly `length` bytes from `offset`; rejects when the file is shorter. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A folder of files: a checkpoint in the diffusers layout. Paths use `/`. */
export interface FileTree {
  /** A name for error messages, such as `./stable-diffusion-v1-5`. */
  readonly name: string;
  /** Every file below, relative to the folder. */
  list(): Promise<readonly string[]>;
  /** Opens a file; `undefined` when it is not there. */
  open(path: string): Promise<ByteSource | undefined>;
}

/** A picture: 8-bit sRGB, shape `[height, width, 3]` (or 4 with straight alpha). Every `NdArray<Uint8Array>` of that shape is one. */
export interface Picture {
  readonly data: Uint8Array;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly offset: number;
  get(row: number, column: number, channel: number): number;
}

/** Decodes and encodes pictures. */
export interface ImageCodec {
  /**
   * Decodes a still picture upright (EXIF orientation applied) to sRGB with alpha kept.
   * @throws IMAGE_FORMAT, IMAGE_CORRUPT, IMAGE_TOO_LARGE
   */
  decode(bytes: Uint8Array, name: string): Promise<Picture>;
  /** Encodes PNG; `text` becomes tEXt/iTXt chunks. */
  encodePng(picture: Picture, text?: Readonly<Record<string, string>>): Promise<Uint8Array>;
}

/** Numbers on the host, row-major. Pictures and latents are `[B, C, H, W]` here, as in PyTorch. */
export interface HostTensor {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/** Element types a checkpoint stores. */
export type DType = 'F64' | 'F32' | 'F16' | 'BF16' | 'I64' | 'I32' | 'I16' | 'I8' | 'U8' | 'BOOL';

/** Where the numbers of one checkpoint tensor are; nothing has been read yet. */
export interface TensorRef {
  /** Full name in the file. */
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly source: ByteSource;
  /** First byte within `source`. */
  readonly offset: number;
  /** Length in bytes; checked against dtype and shape. */
  readonly length: number;
}

/** How the model wants a stored tensor: first reshaped, then with its axes permuted. */
export interface Placement {
  readonly shape: readonly number[];
  readonly permute?: readonly number[];
}

/** A pure function over named tensors. It must not read a tensor's numbers (`data`, `dataSync`). */
export type TensorFunction<I extends string, O extends string> = (inputs: Record<I, Tensor>) => Record<O, Tensor>;

/** A function ready to run on numbers. The shapes of the first call may fix those of later ones. */
export interface CompiledFunction<I extends string, O extends string> {
  run(inputs: Record<I, HostTensor>): Promise<Record<O, HostTensor>>;
  /** Frees what it holds. A later run prepares the function again. */
  dispose(): void;
}

/** How a function treats a batch, which is the first axis of its inputs: what an engine has to know that divides it among threads. */
export interface Batched {
  /** Inputs that every entry of the batch shares; they have no such axis. */
  readonly shared?: readonly string[];
  /** Outputs that are means over the batch; the others have an entry for each. */
  readonly means?: readonly string[];
}

/** What an engine may know of a function besides what it computes. */
export interface FunctionTraits {
  /** How it treats a batch. Without it the batch stays in one piece. */
  readonly batched?: Batched;
  /** Whether it runs many times in a row: a few runs of preparing are then worth it. @defaultValue false */
  readonly often?: boolean;
}

/**
 * An engine: it holds weights and runs functions over them.
 * The eager one runs them on a TensorFlow.js backend; `@textual-inversion/onnx` records them once and runs the graph.
 */
export interface Runtime {
  /** Short name, such as `wasm`, `cpu`, `onnx-cpu`. */
  readonly name: string;
  /** True where functions are recorded and optimised as a whole. */
  readonly compiled: boolean;
  /** Whether memory is so scarce that a training step should compute blocks again rather than keep what is in them. @defaultValue no */
  readonly scarce?: () => boolean;
  /** Makes a checkpoint tensor available to functions of this runtime, as float32 with `placement` applied. */
  place(ref: TensorRef, placement: Placement): Promise<Tensor>;
  /** Prepares `fn`. `name` is for messages and profiles. Functions close over placed weights. */
  compile<I extends string, O extends string>(
    name: string,
    fn: TensorFunction<I, O>,
    traits?: FunctionTraits,
  ): CompiledFunction<I, O>;
  /** Frees every placed tensor and compiled function. */
  dispose(): void;
}
