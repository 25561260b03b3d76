/**
 * `npm start`: from a fresh clone to pictures of a new word. Installs and builds what is missing, learns one of the concept sets on the
 * embedded model, and draws it in places it has never been.
 *
 * npm start -- foxi   takes another set of examples/concepts
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build, install, root } from './setup.mjs';

const DEFAULT_SET = 'foxi';
const started = Date.now();

install(9);
build();
const { learnAndDraw } = await import('../examples/learn-and-draw.mjs');

const sets = readdirSync(join(root, 'examples/concepts')).filter((name) =>
  existsSync(join(root, 'examples/concepts', name, 'concept.json')),
);
const name = process.argv[2] ?? DEFAULT_SET;
if (!sets.includes(name)) {
  console.error(`There is no concept set "${name}". There are: ${sets.join(', ')}.`);
  process.exit(2);
}
const folder = join(root, 'examples/concepts', name);
const about = JSON.parse(readFileSync(join(folder, 'concept.json'), 'utf8'));
console.log(`\n${about.description}\n`);

const paths = await learnAndDraw({ ...about, images: folder, out: join(root, 'out', name) });
console.log(`
In ${Math.round((Date.now() - started) / 1000)} s from start to pictures:
  pictures  ${relative(process.cwd(), paths.grid)}
  report    ${relative(process.cwd(), paths.report)}   (open it in a browser)
  concept   ${relative(process.cwd(), paths.concept)}

Draw your own:
  npx textual-inversion generate --concept ${relative(process.cwd(), paths.concept)} --prompt "a photo of ${about.token} on the beach" --scale 8
`);
