/**
 * Teaches the embedded model a word from four pictures, saves it, and draws with it.
 *
 *     node examples/learn-a-word.mjs         as many steps as the model's makers advise
 *     node examples/learn-a-word.mjs 1000    or as many as you say
 */
import { generate, invert, loadModel } from 'textual-inversion';

const model = await loadModel('tiny'); // or a folder in the diffusers layout
console.log(`${model.name} on ${model.backend.name}: ${model.backend.reason}`);

const concept = await invert({
  model,
  images: 'examples/concepts/foxi',
  token: '<foxi>',
  initializer: 'monster',
  steps: process.argv[2] && Number(process.argv[2]),
  onStep: ({ step, steps, loss }) => {
    if (step % 50 === 0) console.log(`step ${step} of ${steps}, loss ${loss.toFixed(4)}`);
  },
});
await concept.save('out/foxi.safetensors', { overwrite: true });

const pictures = await generate({
  model,
  concepts: [concept],
  prompt: 'a photo of <foxi> on the beach',
  count: 4,
  seed: 1,
});
for (const [i, picture] of pictures.entries())
  await picture.save(`out/foxi-beach-${i + 1}.png`, { overwrite: true, scale: 8 });
await model.dispose();
