import { TextualInversionError } from '@textual-inversion/web';

/** The element of this id; a page without it is a mistake of ours. */
export function element<T extends Element = HTMLElement>(id: string, kind?: abstract new () => T): T {
  const found = document.getElementById(id);
  if (!found || (kind && !(found instanceof kind))) throw new Error(`the page has no ${id}`);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- checked above where a kind is given
  return found as unknown as T;
}

export const input = (id: string): HTMLInputElement => element(id, HTMLInputElement);

/** Makes an element. Text from files and prompts comes in as text, never as markup. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Pixels on a canvas that a screen reader has a name for. */
export function canvasOf(pixels: ImageData, label: string): HTMLCanvasElement {
  const canvas = make('canvas', { className: 'pixels', width: pixels.width, height: pixels.height });
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', label);
  canvas.getContext('2d')?.putImageData(pixels, 0, 0);
  return canvas;
}

/** Puts a button in the place of another; the focus stays in that place. */
export function swap(from: HTMLElement, to: HTMLElement): void {
  const focused = document.activeElement === from;
  to.hidden = false;
  if (focused) to.focus();
  from.hidden = true;
}

/** Shows a line of news above everything; `undefined` takes it away. */
export function notice(message: string | undefined, bad = false): void {
  const box = element('notice');
  box.textContent = message ?? '';
  box.classList.toggle('bad', bad);
  box.hidden = message === undefined;
}

/** The page's last line: which engine works, and why this one. */
export function tellEngine({ name, reason }: { name: string; reason: string }): void {
  element('engine').textContent = `Engine: ${name}, ${reason}.`;
}

/** What to tell of a failure; nothing where the user asked for it. */
export function wordsFor(error: unknown): string | undefined {
  if (error instanceof TextualInversionError) return error.code === 'ABORTED' ? undefined : error.message;
  return error instanceof Error ? error.message : String(error);
}

export function report(error: unknown): void {
  const words = wordsFor(error);
  if (words !== undefined) notice(words, true);
}

/** Offers a file for saving. */
export function offer(blob: Blob, name: string): void {
  const href = URL.createObjectURL(blob);
  make('a', { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '…';
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}
