const { Model } = require('objection');
class Pet extends Model { static tableName = 'pets'; }
class Person extends Model {
  static tableName = 'people';
  static relationMappings = { pets: { relation: Model.HasManyRelation, modelClass: Pet, join: { from: 'people.id', to: 'pets.owner' } } };
}
module.exports = async () => {
  const db = require('knex')({ client: 'better-sqlite3', connection: ':memory:', useNullAsDefault: true });
  await db.schema.createTable('people', t => { t.increments(); t.string('name'); }).createTable('pets', t => { t.increments(); t.string('name'); t.integer('owner'); });
  Model.knex(db);
  await Person.query().insertGraph({ name: 'bob', pets: [{ name: 'rex' }] });
  return { found: await Person.query().withGraphFetched('pets(names)').modifiers({ names: q => q.select('name') }) };
};
