const { Sequelize, DataTypes, Op } = require('sequelize');
module.exports = async () => {
  const db = new Sequelize('sqlite::memory:', { logging: false });
  const Person = db.define('Person', { name: { type: DataTypes.STRING, unique: true } }, { timestamps: false });
  const Order = db.define('Order', { n: DataTypes.INTEGER }, { timestamps: false });
  Person.hasMany(Order);
  await db.sync();
  await Person.create({ name: 'bob', Orders: [{ n: 3 }, { n: 4 }, { n: 9 }] }, { include: Order });
  const found = await Person.findOne({ attributes: ['name'], include: { model: Order, attributes: ['n'], where: { n: { [Op.lt]: 9 } } }, order: [[Order, 'n']] });
  return { found: found.toJSON(), error: await Person.create({ name: 'bob' }).catch(e => e.message) };
};
