require('reflect-metadata');
const { DataSource, EntitySchema, MoreThan } = require('typeorm');
const Person = new EntitySchema({ name: 'Person', columns: { id: { type: Number, primary: true, generated: true }, name: { type: String } }, relations: { orders: { type: 'one-to-many', target: 'Order', inverseSide: 'person', cascade: true } } });
const Order = new EntitySchema({ name: 'Order', tableName: 'orders', columns: { id: { type: Number, primary: true, generated: true }, n: { type: Number } }, relations: { person: { type: 'many-to-one', target: 'Person' } } });
module.exports = async () => {
  const db = await new DataSource({ type: 'sqljs', entities: [Person, Order], synchronize: true }).initialize();
  await db.getRepository(Person).save({ name: 'bob', orders: [{ n: 3 }, { n: 4 }] });
  return { found: await db.getRepository(Person).find({ where: { orders: { n: MoreThan(0) } }, relations: { orders: true } }), sum: await db.getRepository(Order).sum('n') };
};
