import { nanoid, customRandom } from 'nanoid';
export default async () => Response.json({
  shape: /^[\w-]{21}$/.test(nanoid()), custom: customRandom('ab', 6, n => new Uint8Array(n).map((_, i) => i % 2))(),
  distinct: new Set(Array.from({ length: 1000 }, () => nanoid())).size,
});
