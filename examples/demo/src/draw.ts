import { type GeneratedPicture, generate, type LoadedModel, SAMPLERS } from '@textual-inversion/web';
import { canvasOf, element, input, make, notice, report, swap } from './page.js';
import type { Words } from './words.js';

/** The third station. */
export function setUpDrawing(model: Promise<LoadedModel>, words: Words): void {
  const sampler = element('sampler', HTMLSelectElement);
  sampler.replaceChildren(...SAMPLERS.map((name) => make('option', { value: name, textContent: name })));
  model
    .then(({ sampler: own, hints }) => {
      sampler.value = own;
      input('guidance').value = String(hints.guidanceScale ?? 7.5);
    })
    .catch(() => {}); // told in the footer
  const [start, stop] = [element('draw-start', HTMLButtonElement), element('draw-stop', HTMLButtonElement)];
  const progress = element('draw-progress', HTMLProgressElement);
  const status = element('draw-status');
  let controller: AbortController | undefined;

  const draw = async () => {
    if (controller) return;
    controller = new AbortController();
    notice(undefined);
    swap(start, stop);
    progress.hidden = false;
    progress.removeAttribute('value');
    status.textContent = 'Drawing…';
    try {
      const prompt = input('prompt').value;
      const name = sampler.value;
      const pictures = await generate({
        model: await model,
        prompt,
        concepts: words.all().filter(({ token }) => prompt.includes(token)),
        seed: input('seed').valueAsNumber,
        count: input('count').valueAsNumber,
        guidanceScale: input('guidance').valueAsNumber,
        steps: input('draw-steps').valueAsNumber,
        sampler: SAMPLERS.find((known) => known === name),
        signal: controller.signal,
        onStep: (step, steps) => {
          progress.value = step / steps;
        },
        onWarning: (message) => notice(message),
      });
      element('gallery').prepend(...pictures.map(pictureItem));
      status.textContent = `${pictures.length} picture${pictures.length === 1 ? '' : 's'} drawn.`;
    } catch (error) {
      status.textContent = '';
      report(error);
    } finally {
      controller = undefined;
      progress.hidden = true;
      swap(stop, start);
    }
  };
  element('draw-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    draw().catch(report);
  });
  stop.addEventListener('click', () => controller?.abort());
}

function pictureItem({ pixels, png, settings }: GeneratedPicture): HTMLLIElement {
  const { prompt, seed, sampler, guidanceScale } = settings;
  const link = make('a', {
    href: URL.createObjectURL(png),
    download: `picture-${seed}.png`,
    textContent: 'Save PNG',
  });
  const title = `${prompt}, seed ${seed}`;
  link.setAttribute('aria-label', `Save PNG: ${title}`);
  return make(
    'li',
    {},
    make(
      'figure',
      {},
      canvasOf(pixels, title),
      make(
        'figcaption',
        {},
        make('span', { textContent: prompt }),
        make('span', { textContent: `seed ${seed} · ${sampler} · guidance ${guidanceScale}` }),
        link,
      ),
    ),
  );
}

/** Puts a word into the prompt where the cursor is, or in the place of `monster`. */
export function insertWord(token: string): void {
  const prompt = input('prompt');
  if (prompt.value.includes(token)) return;
  const plain = /\ba monster\b/;
  if (plain.test(prompt.value)) prompt.value = prompt.value.replace(plain, token);
  else
    prompt.setRangeText(
      token,
      prompt.selectionStart ?? prompt.value.length,
      prompt.selectionEnd ?? prompt.value.length,
      'end',
    );
}
