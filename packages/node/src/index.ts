export * from '@textual-inversion/core';
export { BACKEND_NAMES, createBackend, type EngineOptions, probeBackends } from './backends.js';
export { loadConcept, type SavableConcept, type SaveConceptOptions } from './concepts.js';
export { type EvaluateOptions, evaluate } from './evaluate.js';
export { openFile, openFolder, refuseExisting, type WriteOptions, writeFileSafely } from './files.js';
export { type GeneratedPicture, type GenerateOptions, generate } from './generate.js';
export { type InvertOptions, invert } from './invert.js';
export { inspectModel, type LoadedModel, type LoadModelOptions, loadModel, TINY } from './models.js';
export {
  codec,
  enlarge,
  type Images,
  listPictures,
  PICTURE_EXTENSIONS,
  readPicture,
  readPictures,
} from './pictures.js';
export { grid } from './report/grid.js';
export { type TrainingFolder, type TrainingFolderOptions, trainIntoFolder } from './training-folder.js';
