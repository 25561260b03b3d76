import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import { createEagerRuntime, type DiffusionModel, loadModel } from '../../packages/core/src/index.js';
import { folder } from './folder.js';
import { golden } from './golden.js';

/** A pipeline of the goldens, loaded as a user would load it, on `TI_BACKEND` or wasm. */
export async function loadGoldenModel(name: string): Promise<DiffusionModel> {
  const runtime = await createEagerRuntime({ backend: process.env['TI_BACKEND'] ?? 'wasm' });
  return loadModel(folder(golden(name)), runtime);
}
