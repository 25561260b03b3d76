import { element } from './page.js';

/** Whether anything was chosen, typed or started. */
let used = false;
for (const type of ['click', 'input', 'drop']) document.addEventListener(type, () => (used = true), { once: true });

/** Lets the page work without a network, and with threads where its host does not send the headers for them. */
export async function setUpOffline(): Promise<void> {
  if (!('serviceWorker' in navigator)) return;
  await navigator.serviceWorker.register('service-worker.js');
  if (globalThis.crossOriginIsolated || sessionStorage.getItem('isolated') !== null) return;
  // From now on the service worker adds the headers; they count for a page from its first byte.
  await navigator.serviceWorker.ready;
  const reload = () => {
    sessionStorage.setItem('isolated', 'tried');
    location.reload();
  };
  if (!used) return reload();
  element('cores').hidden = false;
  element('cores-reload').addEventListener('click', reload);
}
