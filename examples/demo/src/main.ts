import { loadModel } from '@textual-inversion/web';
import { insertWord, setUpDrawing } from './draw.js';
import { setUpLearning } from './learn.js';
import { setUpOffline } from './offline.js';
import { element, report, tellEngine, wordsFor } from './page.js';
import { type PictureSet, setUpPictures } from './pictures.js';
import { setUpWords } from './words.js';

/** `?backend=wasm` takes another engine than the best; tests and curious people use it. */
const backend = new URLSearchParams(location.search).get('backend') ?? 'auto';
const engine = element('engine');

const model = loadModel('tiny', {
  backend,
  onProgress: ({ bytes, totalBytes }) => {
    engine.textContent = `Loading the model: ${Math.round((100 * bytes) / totalBytes)} %`;
  },
});
model
  .then(({ backend }) => tellEngine(backend))
  .catch((error: unknown) => {
    engine.textContent = 'The engine did not start.';
    report(error);
    return wordsFor(error);
  });

async function start(): Promise<void> {
  const words = await setUpWords(insertWord);
  let propose: (set: PictureSet) => void = () => {};
  const pictures = setUpPictures((set) => propose(set));
  ({ propose } = setUpLearning(model, pictures, async (concept) => {
    await words.add(concept);
    insertWord(concept.token);
  }));
  setUpDrawing(model, words);
  await pictures;
  await setUpOffline();
}

start().catch(report);
