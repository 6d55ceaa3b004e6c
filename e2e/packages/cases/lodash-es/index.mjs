import { kebabCase, uniq, set } from 'lodash-es';
export default async () => Response.json({ kebab: kebabCase('fooBar'), uniq: uniq([2, 1, 2]), set: set({}, 'a[0].b.c', 4) });
