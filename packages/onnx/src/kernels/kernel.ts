import type { Recorder } from '../recorder.js';
import type { View } from '../view.js';

/** Attributes by TensorFlow.js' names; each kernel reads those of its own. */
export interface KernelAttributes {
  readonly axis: number | readonly number[];
  readonly reductionIndices: number | readonly number[];
  readonly keepDims: boolean;
  readonly shape: readonly number[];
  readonly perm: readonly number[];
  readonly begin: number | readonly number[];
  readonly size: number | readonly number[];
  readonly paddings: readonly (readonly [number, number])[];
  readonly constantValue: number;
  readonly reps: readonly number[];
  readonly dims: number | readonly number[];
  readonly dim: number;
  readonly dtype: 'float32' | 'int32' | 'bool';
  readonly value: number;
  readonly depth: number;
  readonly onValue: number;
  readonly offValue: number;
  readonly alpha: number;
  readonly clipValueMin: number;
  readonly clipValueMax: number;
  readonly numOrSizeSplits: number | readonly number[];
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly strides: number | readonly [number, number];
  readonly pad: 'valid' | 'same' | number | readonly (readonly [number, number])[];
  readonly dilations: number | readonly [number, number];
  readonly dataFormat: 'NHWC' | 'NCHW';
  readonly dimRoundingMode: 'floor' | 'round' | 'ceil' | undefined;
  readonly inputShape: readonly [number, number, number, number];
  readonly filterSize: number | readonly [number, number];
  readonly alignCorners: boolean;
  readonly halfPixelCenters: boolean;
  readonly activation: string;
  readonly leakyreluAlpha: number;
  // Kernels of `composite` in core.
  readonly stride: number;
  readonly pads: readonly [number, number, number, number];
  readonly groups: number;
  readonly epsilon: number;
  readonly heads: number;
  readonly causal: boolean;
}

/** Inputs by TensorFlow.js' names; asking for one that is not there is an error of the kernel's author. */
export type Inputs = (name: string) => View;

/** Records what one kernel of TensorFlow.js computes. */
export type Kernel = (r: Recorder, input: Inputs, attributes: KernelAttributes, all: readonly View[]) => View | View[];
export type KernelTable = Readonly<Record<string, Kernel>>;
