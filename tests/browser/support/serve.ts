import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
};

export interface ServedRequest {
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
}

export interface Served {
  readonly origin: string;
  /** Everything that was asked for. */
  readonly requests: ServedRequest[];
  /** Answers to paths that begin so, instead of the files. */
  readonly tricks: Map<string, (request: ServedRequest) => Trick>;
  close(): void;
}

/** An answer that is not the file, or not as it should be: a status, a page; a body that ends too early; all of it where a part was asked for. */
export type Trick =
  | { status?: number; type?: string; body?: string }
  | { cutAfter: number }
  | { ranges: false }
  | undefined;

/** Serves folders, by the first part of the path, with ranges; `''` is the root's. */
export function serve(
  folders: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<Served> {
  const requests: ServedRequest[] = [];
  const tricks: Served['tricks'] = new Map();
  const server = createServer((message, response) => {
    const path = decodeURIComponent(new URL(message.url ?? '/', 'http://localhost').pathname);
    const request = { method: message.method ?? 'GET', path, range: message.headers.range };
    requests.push(request);
    const trick = [...tricks].find(([prefix]) => path.startsWith(prefix))?.[1](request);
    if (trick && !('cutAfter' in trick) && !('ranges' in trick)) {
      response.writeHead(trick.status ?? 200, { ...headers, 'content-type': trick.type ?? 'text/html' });
      response.end(message.method === 'HEAD' ? undefined : trick.body);
      return;
    }
    const file = fileOf(folders, path);
    if (file === undefined) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('not here');
      return;
    }
    const { size } = statSync(file);
    const range = trick && 'ranges' in trick ? null : /^bytes=(\d+)-(\d*)$/.exec(request.range ?? '');
    const first = Number(range?.[1] ?? 0);
    const last = Math.min(size - 1, range?.[2] ? Number(range[2]) : size - 1);
    response.writeHead(range ? 206 : 200, {
      'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
      'content-length': Math.max(0, last - first + 1),
      'accept-ranges': 'bytes',
      'cache-control': 'no-store',
      ...(range ? { 'content-range': `bytes ${first}-${last}/${size}` } : {}),
      ...headers,
    });
    if (message.method === 'HEAD' || size === 0) {
      response.end();
    } else if (trick && 'cutAfter' in trick) {
      // What is on its way has to arrive before the connection ends.
      createReadStream(file, { start: first, end: first + trick.cutAfter - 1 })
        .on('end', () => setTimeout(() => response.destroy(), 1500))
        .pipe(response, { end: false });
    } else createReadStream(file, { start: first, end: last }).pipe(response);
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a server that listens on a port has one
      const { port } = server.address() as AddressInfo;
      const close = () => {
        server.close();
        server.closeAllConnections();
      };
      resolve({ origin: `http://localhost:${port}`, requests, tricks, close });
    });
  });
}

/** Runs a script in the worker of a built page before the page's own. @param dist - The folder of the page, which is served as the root */
export function inWorker(served: Served, dist: string, script: string): void {
  // Earlier builds may lie there too.
  for (const name of readdirSync(join(dist, 'assets')).filter((file) => /^worker-.*\.js$/.test(file))) {
    const body = `${script}\n${readFileSync(join(dist, 'assets', name), 'utf8')}`;
    served.tricks.set(`/assets/${name}`, () => ({ type: 'text/javascript', body }));
  }
}

function fileOf(folders: Readonly<Record<string, string>>, path: string): string | undefined {
  const parts = normalize(path).split('/').filter(Boolean);
  const named = folders[parts[0] ?? ''] === undefined || parts.length === 0 ? undefined : folders[parts[0] ?? ''];
  const file = named === undefined ? join(folders[''] ?? '', ...parts) : join(named, ...parts.slice(1));
  const found = path.endsWith('/') ? join(file, 'index.html') : file;
  return existsSync(found) && statSync(found).isFile() ? found : undefined;
}
