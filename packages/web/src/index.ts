export * from '@textual-inversion/core';
export { BACKEND_NAMES, createBackend, type EngineOptions } from './backends.js';
export {
  type GeneratedPicture,
  type GenerateOptions,
  generate,
  type InvertOptions,
  invert,
  type LearnHooks,
  type LoadedModel,
  type LoadModelOptions,
  loadConcept,
  loadModel,
  resume,
  type SavableConcept,
} from './client.js';
export type { ModelSource, PreviewOptions } from './engine/protocol.js';
export { deleteRun, type KeptRun, listRuns } from './engine/runs.js';
export { listRemote, type RemoteFile, type RemoteFiles, remoteTree } from './files/remote.js';
export { blobSource, bytesSource, directoryTree, filesTree } from './files/sources.js';
export {
  type DownloadOptions,
  deleteModel,
  downloadModel,
  listModels,
  openStoredModel,
  type StoredModel,
} from './files/store.js';
export { codec, toImageData } from './images/codec.js';
export type { PictureInput } from './images/read.js';
