const natural = require('natural');
module.exports = async () => {
  const c = new natural.BayesClassifier();
  c.addDocument('i want to purchase shares', 'buy');
  c.addDocument('sell my stock now', 'sell');
  c.train();
  return { stem: ['running', 'happiness'].map(w => natural.PorterStemmer.stem(w)), distance: natural.LevenshteinDistance('kitten', 'sitting'), class: c.classify('purchase some'), jaro: Math.round(natural.JaroWinklerDistance('MARTHA', 'MARHTA') * 100) / 100 };
};
