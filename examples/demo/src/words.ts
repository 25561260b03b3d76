import { CONCEPT_FORMATS, type Concept, loadConcept, type SavableConcept } from '@textual-inversion/web';
import { element, input, make, notice, offer, report } from './page.js';

const KEPT = 'textual-inversion-words';

/** The words this page knows, kept from visit to visit as their own files. */
export interface Words {
  readonly all: () => readonly SavableConcept[];
  add(concept: SavableConcept): Promise<void>;
}

/** Fills the fourth station, and the chips of the third. */
export async function setUpWords(insert: (token: string) => void): Promise<Words> {
  const words = new Map<string, SavableConcept>();
  for (const file of readKept()) {
    const concept = await loadConcept(file).catch(() => undefined); // of another version: gone, not fatal
    if (concept) words.set(concept.token, concept);
  }
  const show = () => {
    element('word-list').replaceChildren(...[...words.values()].map((concept) => wordItem(concept, remove)));
    element('chips').replaceChildren(
      ...[...words.keys()].map((token) => {
        const chip = make('button', { type: 'button', textContent: token });
        chip.addEventListener('click', () => {
          insert(token);
          input('prompt').focus();
        });
        return chip;
      }),
    );
  };
  const keep = async () => {
    show();
    const files = await Promise.all([...words.values()].map(async (word) => toBase64(word.toBlob())));
    try {
      localStorage.setItem(KEPT, JSON.stringify(files));
    } catch {
      notice(
        'This browser has no room for the words, or keeps none: download what you want to have after this visit.',
        true,
      );
    }
  };
  const picker = input('word-file');
  const remove = (token: string) => {
    words.delete(token);
    keep()
      .then(() => picker.focus())
      .catch(report);
  };
  const add = async (concept: SavableConcept) => {
    words.set(concept.token, concept);
    await keep();
  };
  picker.addEventListener('change', () => {
    const [file] = picker.files ?? [];
    picker.value = '';
    notice(undefined);
    if (file) loadConcept(file).then(add).catch(report);
  });
  show();
  return { all: () => [...words.values()], add };
}

function wordItem(concept: SavableConcept, remove: (token: string) => void): HTMLLIElement {
  const { token } = concept;
  const formats = CONCEPT_FORMATS.filter(({ encoders }) => encoders === concept.rows.length).toSorted(
    (a, b) => Number(b.name === 'diffusers') - Number(a.name === 'diffusers'), // what most tools read comes first
  );
  const format = make(
    'select',
    {},
    ...formats.map(({ name, tools }) => make('option', { value: name, textContent: `${name} (${tools})` })),
  );
  format.setAttribute('aria-label', `Format for ${token}`);
  const save = make('button', { type: 'button', textContent: 'Download' });
  save.setAttribute('aria-label', `Download ${token}`);
  save.addEventListener('click', () => {
    try {
      const extension = formats.find(({ name }) => name === format.value)?.extensions[0] ?? '';
      offer(concept.toBlob(format.value), `${token.replace(/[^\w-]+/g, '') || 'word'}${extension}`);
    } catch (error) {
      report(error);
    }
  });
  const forget = make('button', { type: 'button', textContent: 'Forget' });
  forget.setAttribute('aria-label', `Forget ${token}`);
  forget.addEventListener('click', () => remove(token));
  return make(
    'li',
    {},
    make('span', { className: 'name', textContent: token }),
    make('span', { className: 'about', textContent: about(concept) }),
    format,
    save,
    forget,
  );
}

function about({ rows, info }: Concept): string {
  const shapes = rows.map(({ shape }) => `${shape[0]} × ${shape[1]}`).join(' and ');
  const parts = [`${shapes} numbers`, info.steps === undefined ? '' : `${info.steps} steps`, info.model ?? ''];
  return parts.filter(Boolean).join(', ');
}

function readKept(): Uint8Array[] {
  try {
    const files: unknown = JSON.parse(localStorage.getItem(KEPT) ?? '[]');
    return Array.isArray(files) ? files.map((file) => fromBase64(String(file))) : [];
  } catch {
    return []; // damaged or forbidden storage: begin with none
  }
}

async function toBase64(blob: Blob): Promise<string> {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
