const nlp = require('compromise');
module.exports = async () => {
  const d = nlp('she walks to the store');
  d.verbs().toPastTense();
  return { past: d.text(), people: nlp('we met barack obama there').people().out('array'), plural: nlp('goose').nouns().toPlural().text() };
};
