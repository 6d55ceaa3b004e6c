const { Kysely, sql } = require('kysely');
const { PGliteDialect } = require('kysely-pglite-dialect');
const { PGlite } = require('@electric-sql/pglite');
module.exports = async () => {
  const db = new Kysely({ dialect: new PGliteDialect(await PGlite.create()) });
  await db.schema.createTable('t').addColumn('id', 'serial', c => c.primaryKey()).addColumn('name', 'text').execute();
  await db.insertInto('t').values([{ name: 'bob' }, { name: 'bob' }, { name: 'eve' }]).execute();
  const rows = await db.selectFrom('t').select(['name', sql`count(*)::int`.as('n')]).groupBy('name').having(sql`count(*)`, '>', 1).execute();
  return { rows, sql: db.selectFrom('t').select('id').where('id', '>', 1).compile().sql };
};
