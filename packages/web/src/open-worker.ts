/** Starts the worker that comes with this package; bundlers see this pattern and build it. */
export function openWorker(): Worker {
  return new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'textual-inversion' });
}
