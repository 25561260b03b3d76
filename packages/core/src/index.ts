// Every public name of core, by the folder it comes from. A test holds this list.
export { type Concept, type ConceptInfo, checkConcept, vectorsOf } from './concepts/concept.js';
export { CONCEPT_FORMATS, pairConcepts, readConcept, writeConcept } from './concepts/formats/index.js';
export { disposedModel, type ErrorCode, type ErrorParts, TextualInversionError, throwIfAborted } from './errors.js';
export { type Clip, loadClip } from './evaluation/clip.js';
export { EVALUATE_DEFAULTS, type EvaluateOptions, type Evaluation, evaluate } from './evaluation/evaluate.js';
export { EmbeddingTable } from './models/clip-text/embedding-table.js';
export type { DiffusionModel, ModelFamily, ModelFunctions, TextEncoder } from './models/diffusion-model.js';
export type { ModelHints } from './models/model-hints.js';
export { LEARNING_RATE_SHAPES, type LearningRateShape } from './models/model-hints.js';
export { nearest, numberIn, oneOf, shown, withDefaults } from './options.js';
export { createPicture, packed } from './picture.js';
export {
  type InspectedModel,
  type InspectedPart,
  inspectModel,
  type LoadModelOptions,
  loadModel,
  openVocabularies,
  type Vocabulary,
} from './pipeline/load.js';
export { latin1, parametersText } from './pipeline/png-text.js';
export {
  type DrawnPicture,
  GENERATE_DEFAULTS,
  type Generated,
  type GenerateOptions,
  type GenerateSettings,
  generate,
} from './pipeline/text-to-image.js';
export type {
  Batched,
  ByteSource,
  CompiledFunction,
  DType,
  FileTree,
  FunctionTraits,
  HostTensor,
  ImageCodec,
  Picture,
  Placement,
  Runtime,
  TensorFunction,
  TensorRef,
} from './platform.js';
export { Generator, type GeneratorState } from './random.js';
export { type BackendCandidate, type ChosenBackend, chooseBackend, problemOf } from './runtime/choose.js';
export { createEagerRuntime, type EagerRuntimeOptions } from './runtime/eager.js';
export { SAMPLERS, type SamplerName } from './schedules/samplers/index.js';
// For engines, which record the functions of this package: the same TensorFlow.js that it calls.
export { tf } from './tf.js';
export { fillIn } from './tokenizers/prompt.js';
export { DATASET_DEFAULTS, type DatasetOptions, flatten } from './training/dataset.js';
export type { Initializer } from './training/initializer.js';
export {
  INVERT_DEFAULTS,
  type InvertHooks,
  type InvertOptions,
  invert,
  invertDefaults,
  PROPERTIES,
  type Property,
} from './training/invert.js';
export { OBJECT_TEMPLATES, STYLE_TEMPLATES } from './training/templates.js';
export type { StepReport } from './training/train.js';
export { type ChosenWeights, chooseWeights, readJson } from './weights/checkpoint.js';
export { BYTES, toFloat16, toFloat32 } from './weights/half.js';
export { readSafetensors, type SafetensorsFile, writeSafetensors } from './weights/safetensors.js';
