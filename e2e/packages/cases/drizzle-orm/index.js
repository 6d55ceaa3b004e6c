const { drizzle } = require('drizzle-orm/pglite');
const { pgTable, serial, text, integer } = require('drizzle-orm/pg-core');
const { eq, count, sql } = require('drizzle-orm');
const { PGlite } = require('@electric-sql/pglite');
const people = pgTable('people', { id: serial().primaryKey(), name: text() });
const posts = pgTable('posts', { id: serial().primaryKey(), by: integer() });
module.exports = async () => {
  const db = drizzle(await PGlite.create());
  await db.execute(sql`CREATE TABLE people (id serial PRIMARY KEY, name text)`);
  await db.execute(sql`CREATE TABLE posts (id serial PRIMARY KEY, by int)`);
  await db.insert(people).values([{ name: 'bob' }, { name: 'eve' }]);
  await db.insert(posts).values([{ by: 2 }, { by: 2 }]);
  const rows = await db.select({ name: people.name, posts: count() }).from(people).innerJoin(posts, eq(posts.by, people.id)).groupBy(people.name);
  return { rows, returned: await db.insert(posts).values({ by: 1 }).returning({ id: posts.id }) };
};
