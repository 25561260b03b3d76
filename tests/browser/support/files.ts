import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** The list of a folder's files that a page gets in the place of a `files.json`. */
export function filesOf(folder: string): Record<string, { size: number }> {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((path) => path.replaceAll('\\', '/'));
  return Object.fromEntries(
    paths
      .filter((path) => statSync(join(folder, path)).isFile())
      .map((path) => [path, { size: statSync(join(folder, path)).size }]),
  );
}
