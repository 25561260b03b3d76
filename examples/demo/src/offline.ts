/** Lets the page work without a network, and with threads where its host does not send the headers for them. */
export async function setUpOffline(): Promise<void> {
  if (!('serviceWorker' in navigator)) return;
  await navigator.serviceWorker.register('service-worker.js');
  if (globalThis.crossOriginIsolated || sessionStorage.getItem('isolated') !== null) return;
  // From now on the service worker adds the headers; they count for a page from its first byte.
  await navigator.serviceWorker.ready;
  sessionStorage.setItem('isolated', 'tried');
  location.reload();
}
