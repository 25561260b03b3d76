import { element, input, make, notice } from './page.js';

/** A set of `examples/concepts`. */
export interface PictureSet {
  readonly name: string;
  readonly kind: 'object' | 'style';
  readonly initializer: string;
  readonly token: string;
  readonly pictures: readonly (ChosenPicture & { readonly image: string })[];
}

/** The address of a picture of a set, with what its caption tells; or a file of the user. */
export interface ChosenPicture {
  readonly image: string | File;
  readonly caption?: string;
}

/** What the first station holds. */
export interface Pictures {
  readonly chosen: () => readonly ChosenPicture[];
}

/** Fills the first station. @param onSet - Told when a set is chosen, so that its word can be proposed. */
export async function setUpPictures(onSet: (set: PictureSet) => void): Promise<Pictures> {
  let chosen: ChosenPicture[] = [];
  let addresses: string[] = [];
  const list = element('chosen');
  const picker = input('files');
  const show = () => {
    for (const address of addresses) URL.revokeObjectURL(address);
    addresses = chosen.map(({ image }) => (typeof image === 'string' ? image : URL.createObjectURL(image)));
    list.replaceChildren(
      ...chosen.map(({ image }, i) => {
        const src = addresses[i];
        const label = typeof image === 'string' ? `Picture ${i + 1} of the set` : image.name;
        const remove = make('button', { type: 'button', title: `Remove ${label}`, textContent: '×' });
        remove.setAttribute('aria-label', `Remove ${label}`);
        remove.addEventListener('click', () => {
          chosen = chosen.filter((_, at) => at !== i);
          show();
          const others = list.querySelectorAll('button');
          (others[i] ?? others[i - 1] ?? picker).focus();
        });
        return make('li', {}, make('img', { className: 'pixels', src, alt: label }), remove);
      }),
    );
  };
  const take = (files: readonly File[]) => {
    if (files.length === 0) return;
    for (const radio of document.querySelectorAll<HTMLInputElement>('#sets input')) radio.checked = false;
    chosen = [...chosen.filter(({ image }) => typeof image !== 'string'), ...files.map((image) => ({ image }))];
    notice(undefined);
    show();
  };

  picker.addEventListener('change', () => {
    take([...(picker.files ?? [])]);
    picker.value = '';
  });
  const drop = element('drop');
  /** Text is dropped into fields, as everywhere. */
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
  for (const type of ['dragenter', 'dragover'] as const)
    document.addEventListener(type, (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      drop.classList.add('over');
    });
  for (const type of ['dragleave', 'drop'] as const)
    document.addEventListener(type, () => drop.classList.remove('over'));
  document.addEventListener('drop', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    take([...(event.dataTransfer?.files ?? [])]);
  });

  const response = await fetch('concepts/sets.json');
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by our own build
  const sets = (await response.json()) as PictureSet[];
  const ordered = sets.toSorted((a, b) => a.kind.localeCompare(b.kind) || a.name.localeCompare(b.name));
  element('sets').replaceChildren(
    ...ordered.map((set) => {
      const radio = make('input', { type: 'radio', name: 'set', value: set.name });
      radio.setAttribute('aria-label', `${set.name}, ${set.kind === 'style' ? 'a style' : 'a thing'}`);
      radio.addEventListener('change', () => {
        chosen = [...set.pictures];
        notice(undefined);
        show();
        onSet(set);
      });
      const four = set.pictures
        .slice(0, 4)
        .map(({ image }) => make('img', { className: 'pixels', src: image, alt: '', loading: 'lazy' }));
      return make(
        'label',
        { className: 'set' },
        radio,
        make('span', { className: 'four' }, ...four),
        make('span', { className: 'name', textContent: set.name }),
      );
    }),
  );
  return { chosen: () => chosen };
}
