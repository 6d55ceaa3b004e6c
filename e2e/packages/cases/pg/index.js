const { Client } = require('pg');
const { PGlite } = require('@electric-sql/pglite');
const { PGLiteSocketServer } = require('@electric-sql/pglite-socket');
module.exports = async () => {
  const db = await PGlite.create();
  const server = new PGLiteSocketServer({ db, port: 5432, host: '127.0.0.1' });
  await server.start();
  const client = new Client({ host: '127.0.0.1', port: 5432, user: 'postgres', database: 'postgres' });
  await client.connect();
  await client.query('CREATE TABLE t (id int PRIMARY KEY, data jsonb, at timestamptz)');
  await client.query('INSERT INTO t VALUES ($1, $2, $3), ($4, $5, $6)', [1, { a: [1, 2] }, new Date(Date.UTC(2024, 0, 1)), 2, null, null]);
  const { rows } = await client.query({ text: 'SELECT * FROM t WHERE id = $1', values: [1] });
  const count = (await client.query('SELECT count(*) FROM t')).rows[0].count;
  const error = await client.query('INSERT INTO t VALUES (1)').catch(e => e.code);
  await client.end();
  await server.stop();
  await db.close();
  return { rows, count, error };
};
