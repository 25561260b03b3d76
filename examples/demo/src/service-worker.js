/**
 * Keeps the page working offline, and adds the headers that let it use threads where a plain file server sends none.
 * The build fills in the version, the headers and the files.
 */
const VERSION = __VERSION__;
const HEADERS = __HEADERS__;
const FILES = __FILES__;
const CACHE = `textual-inversion-${VERSION}`;

self.addEventListener('install', (event) => {
  const keep = async () => {
    const cache = await caches.open(CACHE);
    // Past the cache of HTTP, which may hold files of the version before.
    await cache.addAll(['./', ...FILES].map((file) => new Request(file, { cache: 'reload' })));
    await self.skipWaiting();
  };
  event.waitUntil(keep());
});

self.addEventListener('activate', (event) => {
  const takeOver = async () => {
    for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(takeOver());
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (new URL(request.url).origin !== self.location.origin || !['GET', 'HEAD'].includes(request.method)) return;
  event.respondWith(answer(request));
});

async function answer(request) {
  const cache = await caches.open(CACHE);
  let whole = await cache.match(request.url, { ignoreSearch: request.mode === 'navigate' });
  if (!whole) {
    whole = await fetch(request.url);
    if (whole.ok) await cache.put(request.url, whole.clone()).catch(() => {}); // no room is no reason to have no answer
  }
  const headers = new Headers(whole.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  headers.set('Cross-Origin-Resource-Policy', 'same-origin');
  headers.delete('Content-Encoding');
  if (request.method === 'HEAD') {
    headers.set('Content-Length', String((await whole.blob()).size));
    return new Response(null, { status: whole.status, headers });
  }
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get('range') ?? '');
  if (!range || !whole.ok) return new Response(whole.body, { status: whole.status, headers });
  const blob = await whole.blob();
  const [first, last] = [Number(range[1]), Math.min(Number(range[2]), blob.size - 1)];
  const part = blob.slice(first, last + 1);
  headers.set('Content-Length', String(part.size));
  headers.set('Content-Range', `bytes ${first}-${last}/${blob.size}`);
  return new Response(part, { status: 206, headers });
}
