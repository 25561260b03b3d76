/**
 * How good is a concept, and what would another tool read? Measures it with the embedded model's own CLIP, then writes it for A1111.
 *
 *     npx textual-inversion train --images examples/concepts/foxi --token "<foxi>" --init monster --out out/foxi
 *     node examples/measure-and-convert.mjs      16 pictures per prompt; the paper takes 64
 *     node examples/measure-and-convert.mjs 64
 */
import { evaluate, loadConcept, loadModel } from 'textual-inversion';

const model = await loadModel('tiny');
const concept = await loadConcept('out/foxi/foxi.safetensors');
const found = await evaluate({
  model,
  concept,
  images: 'examples/concepts/foxi/heldout', // pictures that it was not learned from
  caption: 'a photo of a blue spotted eared square frowning monster with two eyes',
  count: process.argv[2] && Number(process.argv[2]),
  steps: 20,
});
console.log('like the pictures', found.imageSimilarity, 'where the best caption is', found.captionSimilarity);
for (const { prompt, textSimilarity } of found.edits) console.log(prompt, textSimilarity);

await concept.save('out/foxi.pt', { format: 'a1111', overwrite: true });
await model.dispose();
