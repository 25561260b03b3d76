/** What the benchmarks call of the library: sources, because a benchmark looks at parts that no package exports. */
export type { DiffusionModel } from '../packages/core/src/models/diffusion-model.js';
export { preparePrompts } from '../packages/core/src/models/prompt-inputs.js';
export { timestepEmbedding } from '../packages/core/src/models/unet/embeddings.js';
export { loadModel } from '../packages/core/src/pipeline/load.js';
export type { HostTensor } from '../packages/core/src/platform.js';
export { Generator } from '../packages/core/src/random.js';
export { invert } from '../packages/core/src/training/invert.js';
export { startTraining, train } from '../packages/core/src/training/train.js';
export { createBackend } from '../packages/node/src/backends.js';
export { openFolder } from '../packages/node/src/files.js';
export { readPictures } from '../packages/node/src/pictures.js';
