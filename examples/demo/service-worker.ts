import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Large files that most visits never need: kept when they are used, not beforehand. */
const LATER = /asyncify|tfjs-backend|\.map$/;

/** Fills in `src/service-worker.js` for a built page: the headers, its files, and a version that is another when any of them is. */
export function writeServiceWorker(dir: string, headers: Readonly<Record<string, string>>): void {
  const files = readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => statSync(join(dir, path)).isFile() && path !== 'service-worker.js');
  const version = createHash('sha256');
  for (const path of files) version.update(path).update(readFileSync(join(dir, path)));
  const script = readFileSync(new URL('src/service-worker.js', import.meta.url), 'utf8')
    .replace('__VERSION__', JSON.stringify(version.digest('hex').slice(0, 16)))
    .replace('__HEADERS__', JSON.stringify(headers))
    .replace('__FILES__', JSON.stringify(files.filter((path) => !LATER.test(path))));
  writeFileSync(join(dir, 'service-worker.js'), script);
}
