import { createEagerRuntime, type DiffusionModel, loadModel } from '../../packages/core/src/index.js';
import { folder } from './folder.js';
import { golden } from './golden.js';
import { useBackend } from './models.js';

/** A pipeline of the goldens, loaded as a user would load it, on `TI_BACKEND` or wasm. */
export async function loadGoldenModel(name: string): Promise<DiffusionModel> {
  const backend = process.env['TI_BACKEND'] ?? 'wasm';
  await useBackend(backend);
  const runtime = await createEagerRuntime({ backend });
  return loadModel(folder(golden(name)), runtime);
}
