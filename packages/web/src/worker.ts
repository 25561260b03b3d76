import * as Comlink from 'comlink';
import { createEngine } from './engine/engine.js';
import type { EngineCalls } from './engine/protocol.js';

/** The worker: the engine behind a message port. Pictures are handed over, not copied. */
const engine = createEngine();
const calls: EngineCalls = {
  load: engine.load,
  unload: engine.unload,
  learn: engine.learn,
  async draw(request, port) {
    const result = await engine.draw(request, port);
    if (!('value' in result)) return result;
    const buffers = result.value.pictures.flatMap(({ pixels, png }) => [pixels.data.buffer, png.buffer]);
    return Comlink.transfer(
      result,
      buffers.filter((buffer) => buffer instanceof ArrayBuffer),
    );
  },
};
Comlink.expose(calls);
