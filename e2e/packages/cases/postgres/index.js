const postgres = require('postgres');
const { PGlite } = require('@electric-sql/pglite');
const { PGLiteSocketServer } = require('@electric-sql/pglite-socket');
module.exports = async () => {
  const db = await PGlite.create();
  const server = new PGLiteSocketServer({ db, port: 5432, host: '127.0.0.1' });
  await server.start();
  const sql = postgres({ host: '127.0.0.1', port: 5432, user: 'postgres', database: 'postgres', max: 1, onnotice() {} });
  await sql`CREATE TABLE t (id int, name text)`;
  await sql`INSERT INTO t ${sql([{ id: 1, name: 'a' }, { id: 2, name: 'b' }])}`;
  await sql.begin(async tx => { await tx`DELETE FROM t`; throw new Error('no'); }).catch(() => {});
  const rows = await sql`SELECT * FROM t ORDER BY id`;
  const where = (await sql`SELECT name FROM t WHERE id IN ${sql([2, 3])}`).map(r => r.name);
  await sql.end();
  await server.stop();
  await db.close();
  return { rows: [...rows], rolledBack: rows.length, where };
};
