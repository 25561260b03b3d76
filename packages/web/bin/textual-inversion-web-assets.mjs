#!/usr/bin/env node
/**
 * Copies the assets of a page into a folder.
 *   npx textual-inversion-web-assets public/textual-inversion
 */
import { copyAssets } from './assets.mjs';

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error('usage: textual-inversion-web-assets FOLDER');
  process.exitCode = 2;
} else {
  const sizes = Object.values(copyAssets(folder));
  const mebibytes = sizes.reduce((sum, size) => sum + size, 0) / 2 ** 20;
  console.log(`${sizes.length} files, ${mebibytes.toFixed(1)} MiB in ${folder}`);
}
