/**
 * Two learned words in one prompt: a thing in a style.
 *
 *     npx textual-inversion train --images examples/concepts/foxi --token "<foxi>" --init monster --out out/foxi
 *     npx textual-inversion train --images examples/concepts/candy --token "<candy>" --init style --property style --out out/candy
 *     node examples/two-words.mjs
 */
import { generate, loadConcept, loadModel } from 'textual-inversion';

const model = await loadModel('tiny');
const concepts = [await loadConcept('out/foxi/foxi.safetensors'), await loadConcept('out/candy/candy.safetensors')];
const [picture] = await generate({ model, concepts, prompt: 'a <candy> of <foxi>', seed: 3 });
await picture?.save('out/foxi-candy.png', { overwrite: true, scale: 8 });
await model.dispose();
