/**
 * A training that can be stopped and taken up again: the end is the same to the byte.
 *
 *     node examples/stop-and-go-on.mjs
 */
import { invert, loadModel, TextualInversionError, writeFileSafely } from 'textual-inversion';

const CHECKPOINT = 'out/checkpoint.safetensors';
const model = await loadModel('tiny');
const settings = { model, images: 'examples/concepts/foxi', token: '<foxi>', initializer: 'monster', steps: 60 };

const stop = new AbortController();
try {
  await invert({
    ...settings,
    signal: stop.signal,
    onStep: ({ step }) => {
      if (step === 20) stop.abort();
    },
    onCheckpoint: (bytes) => writeFileSafely(CHECKPOINT, bytes, { overwrite: true }),
  });
} catch (error) {
  if (!(error instanceof TextualInversionError && error.code === 'ABORTED')) throw error;
  console.log('stopped after step 20');
}

const concept = await invert({ ...settings, resume: CHECKPOINT });
console.log(`learned in ${concept.info.steps} steps`);
await concept.save('out/foxi.safetensors', { overwrite: true });
await model.dispose();
