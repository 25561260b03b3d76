/** Stable Diffusion's autoencoder between pictures and latents. */
export interface AutoencoderConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly latentChannels: number;
  /** Channels per level, from the picture inwards. */
  readonly channels: readonly number[];
  /** ResNets per level of the encoder; the decoder has one more. */
  readonly resnets: number;
  readonly groups: number;
  /** Whether pictures attend to themselves in the middle. */
  readonly middleAttention: boolean;
  readonly quantConv: boolean;
  readonly postQuantConv: boolean;
  /** Latents as the UNet sees them are `(z - shiftFactor) * scalingFactor`. */
  readonly scalingFactor: number;
  readonly shiftFactor: number;
  /** Pixels per latent along each side. */
  readonly downscale: number;
}

/** The small autoencoder used for previews. */
export interface TinyAutoencoderConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly latentChannels: number;
  readonly encoder: { readonly channels: readonly number[]; readonly blocks: readonly number[] };
  readonly decoder: { readonly channels: readonly number[]; readonly blocks: readonly number[] };
  readonly scalingFactor: number;
  readonly shiftFactor: number;
}
