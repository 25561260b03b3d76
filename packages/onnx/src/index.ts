export { type ProbedProvider, probeProviders } from './providers.js';
export { createOnnxRuntime, type OnnxRuntimeOptions } from './runtime.js';
export type { OrtModule, OrtSession } from './session.js';
