const { PGlite } = require('@electric-sql/pglite');
module.exports = async () => {
  const db = await PGlite.create();
  await db.exec("CREATE TABLE t (id int, body text); INSERT INTO t VALUES (1, 'the cat'), (2, 'dogs running'), (3, 'x')");
  const fts = (await db.query("SELECT id FROM t WHERE to_tsvector('english', body) @@ to_tsquery('run & dog')")).rows;
  const avg = (await db.query('SELECT avg(id)::text AS a FROM t WHERE id < $1', [4])).rows[0].a;
  await db.exec("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.body := 'changed'; RETURN NEW; END $$; CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()");
  const trigger = (await db.query("UPDATE t SET body = 'y' WHERE id = 3 RETURNING body")).rows[0].body;
  await db.close();
  return { fts, avg, trigger };
};
