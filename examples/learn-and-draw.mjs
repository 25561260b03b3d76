/** Learns a word from a folder of pictures on the embedded model, and draws it in places it has never been. */
import { join } from 'node:path';
import {
  codec,
  generate,
  grid,
  listPictures,
  loadConcept,
  loadModel,
  readPicture,
  trainIntoFolder,
  writeFileSafely,
} from 'textual-inversion';

const PROMPTS = {
  object: (word) => [
    `a photo of ${word}`,
    `a photo of ${word} on a green background`,
    `a game boy picture of ${word}`,
    `a photo of two ${word}`,
    `a photo of ${word} next to a house`,
  ],
  style: (word) => [
    `a ${word} of a monster`,
    `a ${word} of two monsters`,
    `a ${word} of a monster wearing a red hat`,
    `a ${word} of a monster next to a tree`,
    `a ${word} of three monsters`,
  ],
};

/** What the card of the embedded model draws with. */
const DRAWING = { sampler: 'dpmsolver++', steps: 20, count: 4, seed: 7 };

/** @param {{ images: string, token: string, initializer: string, kind: 'object' | 'style', out: string, steps?: number }} options */
export async function learnAndDraw({ images, token, initializer, kind, out, steps: wanted }) {
  const model = await loadModel('tiny');
  console.log(`Backend: ${model.backend.name}, ${model.backend.reason}`);
  let shown = 0;
  const paths = await trainIntoFolder({
    model,
    folder: out,
    images,
    token,
    initializer,
    property: kind,
    steps: wanted,
    previewEverySteps: 100,
    overwrite: true,
    onStep({ step, steps, loss, seconds }) {
      if (Date.now() - shown < 3000 && step < steps) return;
      shown = Date.now();
      console.log(
        `  step ${step} of ${steps}, loss ${loss.toFixed(4)}, about ${Math.round((steps - step) * seconds)} s left`,
      );
    },
  });
  const concept = await loadConcept(paths.concept);
  const rows = [await Promise.all((await listPictures(images)).map((path) => readPicture(path)))];
  for (const prompt of PROMPTS[kind](token)) {
    const pictures = await generate({ ...DRAWING, model, concepts: [concept], prompt });
    rows.push(pictures.map(({ pixels }) => pixels));
    console.log(`  drew ${prompt}`);
  }
  const file = join(out, 'grid.png');
  await writeFileSafely(file, await codec.encodePng(grid(rows)), { overwrite: true });
  await model.dispose();
  return { ...paths, grid: file };
}
