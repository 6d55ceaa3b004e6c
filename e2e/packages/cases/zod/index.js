const { z } = require('zod');
const Person = z.object({ email: z.email(), age: z.coerce.number().min(18), tags: z.array(z.string()).default([]) });
module.exports = async ctx => ({
  ok: Person.parse({ email: 'a@b.ch', age: '18' }),
  wrong: Person.safeParse(ctx.body).error.issues.map(i => [i.path.join('.'), i.code]),
});
