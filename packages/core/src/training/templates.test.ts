import { describe, expect, it } from 'vitest';
import { OBJECT_TEMPLATES, STYLE_TEMPLATES } from './templates.js';

describe('the templates of the paper', () => {
  it.each([
    ['objects', OBJECT_TEMPLATES, 27, 27],
    // The official list holds two of them twice, which makes them likelier.
    ['styles', STYLE_TEMPLATES, 19, 17],
  ])('for %s', (_, templates, count, different) => {
    expect(templates).toHaveLength(count);
    expect(new Set(templates).size).toBe(different);
    for (const template of templates) expect(template.split('{}')).toHaveLength(2);
  });
});
