const knex = require('knex');
module.exports = async () => {
  const db = knex({ client: 'better-sqlite3', connection: ':memory:', useNullAsDefault: true });
  await db.schema.createTable('people', t => { t.increments(); t.string('name').unique(); });
  await db.schema.createTable('orders', t => { t.integer('person').references('people.id'); t.integer('n'); });
  await db('people').insert([{ name: 'bob' }, { name: 'eve' }]);
  await db('orders').insert([{ person: 1, n: 3 }, { person: 1, n: 4 }]);
  const rows = await db('people').join('orders', 'people.id', 'orders.person').groupBy('people.id').select('name').sum({ total: 'n' });
  await db.destroy();
  return { rows, sql: knex({ client: 'pg' })('a').where('x', 1).limit(2).toSQL().sql };
};
