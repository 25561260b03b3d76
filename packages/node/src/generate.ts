import { extname } from 'node:path';
import {
  type GenerateOptions as CoreOptions,
  type DrawnPicture,
  generate as draw,
  numberIn,
  parametersText,
  TextualInversionError,
} from '@textual-inversion/core';
import { type WriteOptions, writeFileSafely } from './files.js';
import type { LoadedModel } from './models.js';
import { codec, enlarge } from './pictures.js';
import { warnProcess } from './warn-process.js';

/** Core's options, and the model that draws. */
export interface GenerateOptions extends CoreOptions {
  readonly model: LoadedModel;
  /** Told once each, such as that a prompt was cut. @defaultValue printed as process warnings */
  readonly onWarning?: (message: string) => void;
}

/** A drawn picture that can be saved. */
export interface GeneratedPicture extends DrawnPicture {
  /**
   * Writes a PNG with the settings in its text, as A1111 writes them.
   * @param path - Ends in `.png`.
   * @param options.scale - Every pixel becomes a square of this many, with hard edges. @defaultValue 1
   * @throws OPTION_INVALID, OUTPUT_EXISTS, OUTPUT_FAILED
   */
  save(path: string, options?: WriteOptions & { scale?: number }): Promise<void>;
}

/**
 * Draws pictures from a prompt, with learned words in it.
 * @throws OPTION_INVALID, SIZE_INVALID, CONCEPT_WIDTH, PROMPT_TOO_LONG, ABORTED
 */
export async function generate({
  model,
  onWarning = warnProcess,
  ...options
}: GenerateOptions): Promise<GeneratedPicture[]> {
  const { pictures, warnings } = await draw(model, options);
  for (const warning of warnings) onWarning(warning);
  return pictures.map(({ pixels, settings }) => ({
    pixels,
    settings,
    save: async (path, { scale = 1, ...write } = {}) => {
      numberIn('scale', scale, { min: 1, max: 64, integer: true });
      if (extname(path).toLowerCase() !== '.png') {
        throw new TextualInversionError('OPTION_INVALID', {
          where: 'path',
          expected: 'a name ending in .png',
          found: path,
        });
      }
      const png = await codec.encodePng(scale === 1 ? pixels : enlarge(pixels, scale), {
        parameters: parametersText(settings),
      });
      await writeFileSafely(path, png, write);
    },
  }));
}
