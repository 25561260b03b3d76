import {
  deleteRun,
  invert,
  type LearnHooks,
  type LoadedModel,
  listRuns,
  resume,
  type SavableConcept,
} from '@textual-inversion/web';
import { drawCurve, smoothed } from './curve.js';
import { canvasOf, duration, element, input, make, notice, swap, tellEngine, wordsFor } from './page.js';
import type { PictureSet, Pictures } from './pictures.js';

/** The one run that this page keeps. */
const RUN = 'page';
/** At most so many steps are lost with the tab. */
const CHECKPOINT_EVERY = 20;
const PREVIEWS = 8;

/** The second station. */
export interface Learning {
  propose(set: PictureSet): void;
}

/** @param onLearned - Told when a word is done. */
export function setUpLearning(
  model: Promise<LoadedModel>,
  pictures: Promise<Pictures>,
  onLearned: (concept: SavableConcept) => Promise<void>,
): Learning {
  const [start, stop] = [element('start', HTMLButtonElement), element('stop', HTMLButtonElement)];
  const status = element('learn-status');
  let controller: AbortController | undefined;
  const say = (message: string, bad = false) => {
    status.textContent = message;
    status.classList.toggle('bad', bad);
  };
  model
    .then(({ hints }) => {
      input('steps').value = String(hints.steps ?? 300);
      input('batch').value = String(hints.batchSize ?? 4);
      input('rate').value = String(hints.learningRate ?? 0.01);
    })
    .catch(() => {}); // told in the footer

  const run = async (losses: number[], steps: number, begin: (hooks: LearnHooks) => Promise<SavableConcept>) => {
    if (controller) return;
    const stopping = new AbortController();
    controller = stopping;
    let learning = false;
    try {
      notice(undefined);
      hideKept();
      swap(start, stop);
      const view = trainingView(losses, steps);
      say('Looking at the pictures…');
      const concept = await begin({
        signal: stopping.signal,
        ...view.hooks,
        onStep: (report) => {
          if (!learning && !stopping.signal.aborted) say('Learning…');
          learning = true;
          view.hooks.onStep?.(report);
        },
        onRecovered: ({ step, backend }) => {
          notice(`The graphics device was lost. Training goes on from step ${step} with ${backend.name}.`);
          tellEngine(backend);
        },
        onWarning: (message) => notice(message),
      });
      await onLearned(concept);
      say(`${concept.token} is learned. Draw with it below.`);
    } catch (error) {
      const words = wordsFor(error);
      say(words ?? `Stopped after step ${losses.length}.`, words !== undefined);
      element('left').textContent = 'stopped';
      element('training').hidden = losses.length === 0; // nothing to show
    } finally {
      controller = undefined;
      swap(stop, start);
      form.after(element('kept')); // what to do next belongs behind the button that stopped it
      await showKept();
    }
  };

  const form = element('learn-form', HTMLFormElement);
  // What has to be put right must be in sight; the event does not bubble.
  form.addEventListener('invalid', () => (element('settings', HTMLDetailsElement).open = true), { capture: true });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const steps = input('steps').valueAsNumber;
    const property = checkedValue('property') === 'style' ? 'style' : 'object';
    const settings = {
      token: input('token').value.trim(),
      initializer: input('initializer').value.trim(),
      property,
      steps,
      batchSize: input('batch').valueAsNumber,
      learningRate: input('rate').valueAsNumber,
      vectors: input('vectors').valueAsNumber,
      seed: input('learn-seed').valueAsNumber,
      checkpointEverySteps: Math.max(1, Math.min(CHECKPOINT_EVERY, Math.round(steps / 10))),
    } as const;
    const begin = async (hooks: LearnHooks) => {
      const chosen = (await pictures).chosen();
      return invert({
        ...settings,
        ...hooks,
        model: await model,
        images: chosen.map(({ image }) => image),
        captions: chosen.map(({ caption }) => caption),
        run: RUN,
        preview: previewOf(property, steps),
      });
    };
    run([], steps, begin).catch((error: unknown) => say(wordsFor(error) ?? '', true));
  });
  stop.addEventListener('click', () => {
    say('Stopping after this step…');
    controller?.abort();
  });

  /** The focus must not go down with the button that had it. */
  const hideKept = () => {
    const box = element('kept');
    if (box.contains(document.activeElement)) start.focus();
    box.hidden = true;
    start.classList.add('primary');
  };
  const showKept = async () => {
    const kept = (await listRuns()).find(({ name }) => name === RUN);
    const box = element('kept');
    box.hidden = !kept || kept.finished || controller !== undefined || kept.step >= kept.steps;
    if (!kept || box.hidden) return;
    start.classList.remove('primary'); // going on is what most want now
    const { token, step, steps, property, losses } = kept;
    element('kept-text').textContent = `The training of ${token} stands at step ${step} of ${steps} and can go on.`;
    element('kept-resume').onclick = () => {
      const begin = async (hooks: LearnHooks) =>
        resume({ ...hooks, model: await model, run: RUN, preview: previewOf(property, steps) });
      run([...losses], steps, begin).catch((error: unknown) => say(wordsFor(error) ?? '', true));
    };
    element('kept-discard').onclick = () => {
      hideKept();
      deleteRun(RUN).catch((error: unknown) => say(wordsFor(error) ?? '', true));
    };
  };
  showKept().catch((error: unknown) => say(wordsFor(error) ?? '', true));

  return {
    propose: ({ token, initializer, kind }) => {
      input('token').value = token;
      input('initializer').value = initializer;
      for (const radio of document.querySelectorAll<HTMLInputElement>('[name=property]'))
        radio.checked = radio.value === kind;
    },
  };
}

function previewOf(property: string, steps: number) {
  const prompt = property === 'style' ? 'a {} of a monster' : 'a photo of {}';
  return { everySteps: Math.max(10, Math.round(steps / PREVIEWS)), prompt, steps: 12, seed: 3 };
}

/** The panel with numbers, curve and previews. */
function trainingView(losses: number[], steps: number): { hooks: LearnHooks } {
  const svg = element<SVGSVGElement>('curve');
  const progress = element('progress', HTMLProgressElement);
  const strip = element('previews');
  const times: number[] = [];
  let last = performance.now();
  element('training').hidden = false;
  element('previews-block').hidden = true;
  strip.replaceChildren();
  const show = () => {
    progress.value = losses.length / steps;
    element('step').textContent = `${losses.length} of ${steps}`;
    const mean = smoothed(losses);
    element('loss').textContent = mean.at(-1)?.toFixed(3) ?? '…';
    drawCurve(svg, losses, mean, steps);
    const recent = times.slice(-20);
    const pace = recent.reduce((sum, seconds) => sum + seconds, 0) / recent.length;
    element('left').textContent =
      losses.length === steps ? 'done' : recent.length > 1 ? duration(pace * (steps - losses.length)) : '…';
    const paceText = pace < 1 ? `${Math.round(pace * 1000)} ms` : `${pace.toFixed(1)} s`;
    element('pace').textContent = recent.length > 1 ? paceText : '…';
  };
  show();
  let queued = false;
  return {
    hooks: {
      onEncode: () => {
        last = performance.now();
      },
      onStep: (report) => {
        losses[report.step - 1] = report.loss;
        losses.length = report.step;
        const now = performance.now();
        if (report.step > 1) times.push((now - last) / 1000);
        last = now;
        if (queued) return;
        queued = true;
        requestAnimationFrame(() => {
          queued = false;
          show();
        });
      },
      onPreview: ({ step, pixels }) => {
        element('previews-block').hidden = false;
        strip.append(make('li', {}, canvasOf(pixels, `Preview after step ${step}`), `step ${step}`));
        strip.scrollLeft = strip.scrollWidth;
      },
    },
  };
}

function checkedValue(name: string): string | undefined {
  return document.querySelector<HTMLInputElement>(`[name=${name}]:checked`)?.value;
}
