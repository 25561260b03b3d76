/** A run of ResNets at one resolution. */
export interface UnetBlockConfig {
  readonly channels: number;
  /** One entry per ResNet: how many transformer layers follow it, 0 for none. */
  readonly transformers: readonly number[];
  readonly heads: number;
  readonly contextWidth: number;
  /** Whether the block ends by halving (on the way down) or doubling (on the way up) the picture. */
  readonly resample: boolean;
}

/** The denoising network. */
export interface UnetConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  /** Height and width of the latents the model was trained on. */
  readonly sampleSize: number;
  readonly down: readonly UnetBlockConfig[];
  readonly middle: UnetBlockConfig | undefined;
  readonly up: readonly UnetBlockConfig[];
  readonly groups: number;
  readonly epsilon: number;
  /** The sinusoids of a timestep. */
  readonly time: SinusoidConfig;
  /** Width of the learned embedding made from them. */
  readonly timeWidth: number;
  /** SDXL's second condition: the pooled prompt and the picture's sizes; undefined elsewhere. */
  readonly addition: AdditionConfig | undefined;
  readonly kernelIn: number;
  readonly kernelOut: number;
  /** Zeros around a picture before it is halved; 0 means one row and column behind it. */
  readonly downsamplePad: number;
  /** Maps samples from [0, 1] to [-1, 1] first. */
  readonly centerInput: boolean;
  /** What the middle's ResNets divide their sums by. */
  readonly middleScale: number;
}

export interface SinusoidConfig {
  readonly width: number;
  /** Cosines before sines. */
  readonly cosineFirst: boolean;
  /** Subtracted from the number of frequencies in the exponent. */
  readonly shift: number;
}

export interface AdditionConfig {
  /** Sinusoids of each of the six size numbers. */
  readonly sinusoid: SinusoidConfig;
  /** Width of the pooled prompt and all sinusoids together. */
  readonly inputs: number;
}
