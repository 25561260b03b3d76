/** `npm run bench:concepts [-- NAME...]`: learns the individuals of examples/concepts on the embedded model with the defaults, and measures them. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { evaluate, generate, invert, listPictures, loadModel } from 'textual-inversion';

/** The plain backgrounds of the picture world, scripts/tiny-model/world.py. */
const BACKGROUNDS = {
  white: [245, 245, 245],
  gray: [140, 140, 145],
  black: [20, 20, 24],
  yellow: [250, 220, 110],
  green: [120, 200, 110],
  blue: [90, 150, 235],
  purple: [160, 110, 215],
  pink: [250, 175, 200],
  orange: [250, 160, 80],
  red: [205, 60, 60],
};
const PER_BACKGROUND = 4;
const TOP_ROWS_PX = 4; // no figure reaches them
const DRAWING = { sampler: 'dpmsolver++', steps: 20 };

const folder = (name) => fileURLToPath(new URL(`../examples/concepts/${name}`, import.meta.url));
const about = (name) => JSON.parse(readFileSync(`${folder(name)}/concept.json`, 'utf8'));
const names = process.argv.slice(2).length
  ? process.argv.slice(2)
  : ['bumbu', 'dotti', 'foxi', 'lemmi', 'minto', 'zebro'];

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
function backgroundOf({ data, shape: [, width] }) {
  const top = Array.from(data.subarray(0, TOP_ROWS_PX * width * 3));
  const colour = [0, 1, 2].map((c) => median(top.filter((_, i) => i % 3 === c)));
  const distance = (word) => BACKGROUNDS[word].reduce((sum, v, c) => sum + (v - colour[c]) ** 2, 0);
  return Object.keys(BACKGROUNDS).reduce((best, word) => (distance(word) < distance(best) ? word : best));
}

const model = await loadModel('tiny');
let nearer = 0;
console.log('| concept | its pictures | best caption | held-out pictures | background right |\n|---|---|---|---|---|');
for (const name of names) {
  const { token, initializer, bestCaption } = about(name);
  const concept = await invert({ model, images: await listPictures(folder(name)), token, initializer });
  const measured = await evaluate({
    ...DRAWING,
    model,
    concept,
    images: folder(`${name}/heldout`),
    caption: bestCaption,
    edits: [],
    count: 32,
  });
  let right = 0;
  for (const [i, word] of Object.keys(BACKGROUNDS).entries()) {
    const prompt = `a photo of ${token} on ${word === 'orange' ? 'an' : 'a'} ${word} background`;
    const drawn = await generate({
      ...DRAWING,
      model,
      concepts: [concept],
      prompt,
      count: PER_BACKGROUND,
      seed: PER_BACKGROUND * i,
    });
    right += drawn.filter(({ pixels }) => backgroundOf(pixels) === word).length;
  }
  const share = right / (PER_BACKGROUND * Object.keys(BACKGROUNDS).length);
  const { imageSimilarity, captionSimilarity, picturesSimilarity } = measured;
  nearer += imageSimilarity > captionSimilarity;
  const numbers = [imageSimilarity, captionSimilarity, picturesSimilarity].map((x) => x.toFixed(3));
  console.log(`| ${[name, ...numbers, `${Math.round(share * 100)} %`].join(' | ')} |`);
}
await model.dispose();
console.log(`${nearer} of ${names.length} nearer to the held-out pictures than the best caption.`);
