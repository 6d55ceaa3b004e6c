const Loki = require('lokijs');
module.exports = async () => {
  const people = new Loki('db').addCollection('people', { indices: ['age'] });
  people.insert([{ name: 'bob', age: 30 }, { name: 'eve', age: 40 }, { name: 'kid', age: 5 }]);
  return people.chain().find({ age: { $gte: 18 } }).simplesort('age', true).data().map(p => p.name);
};
