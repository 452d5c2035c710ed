package cascade.tests;

import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.CharArraySet;
import org.apache.lucene.analysis.de.GermanAnalyzer;
import org.apache.lucene.analysis.en.EnglishAnalyzer;
import org.apache.lucene.analysis.es.SpanishAnalyzer;
import org.apache.lucene.analysis.fr.FrenchAnalyzer;
import org.apache.lucene.analysis.it.ItalianAnalyzer;
import org.apache.lucene.analysis.nl.DutchAnalyzer;
import org.elasticsearch.cluster.service.ClusterService;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.index.analysis.Analysis;
import org.elasticsearch.index.analysis.AnalyzerProvider;
import org.elasticsearch.index.analysis.AnalyzerScope;
import org.elasticsearch.index.analysis.CharFilterFactory;
import org.elasticsearch.index.analysis.TokenFilterFactory;
import org.elasticsearch.index.analysis.TokenizerFactory;
import org.elasticsearch.indices.analysis.AnalysisModule.AnalysisProvider;
import org.elasticsearch.plugins.AnalysisPlugin;
import org.elasticsearch.rest.RestHandler;

/**
 * Gives the reduced test distribution of Elasticsearch the analysis components of the complete one,
 * under the same names and parameters, and an answer to {@code GET /}.
 */
public final class CommonAnalysisPlugin extends RestPlugin implements AnalysisPlugin {
    private interface LanguageAnalyzer {
        Analyzer create(CharArraySet stopwords, CharArraySet stemExclusions);
    }

    private record Provided(String name, Analyzer get) implements AnalyzerProvider<Analyzer> {
        @Override
        public AnalyzerScope scope() {
            return AnalyzerScope.INDEX;
        }
    }

    private ClusterService clusterService;

    @Override
    public Collection<?> createComponents(PluginServices services) {
        clusterService = services.clusterService();
        return List.of();
    }

    @Override
    RestHandler rootHandler() {
        return new RootHandler(() -> clusterService.state());
    }

    @Override
    public Map<String, AnalysisProvider<TokenFilterFactory>> getTokenFilters() {
        return TokenFilters.all();
    }

    @Override
    public Map<String, AnalysisProvider<CharFilterFactory>> getCharFilters() {
        return CharFilters.all();
    }

    @Override
    public Map<String, AnalysisProvider<TokenizerFactory>> getTokenizers() {
        return Tokenizers.all();
    }

    @Override
    public Map<String, AnalysisProvider<AnalyzerProvider<? extends Analyzer>>> getAnalyzers() {
        Map<String, AnalysisProvider<AnalyzerProvider<? extends Analyzer>>> all = new HashMap<>();
        put(all, "english", EnglishAnalyzer.getDefaultStopSet(), EnglishAnalyzer::new);
        put(all, "german", GermanAnalyzer.getDefaultStopSet(), GermanAnalyzer::new);
        put(all, "french", FrenchAnalyzer.getDefaultStopSet(), FrenchAnalyzer::new);
        put(all, "italian", ItalianAnalyzer.getDefaultStopSet(), ItalianAnalyzer::new);
        put(all, "spanish", SpanishAnalyzer.getDefaultStopSet(), SpanishAnalyzer::new);
        put(all, "dutch", DutchAnalyzer.getDefaultStopSet(), DutchAnalyzer::new);
        return all;
    }

    private static void put(
            Map<String, AnalysisProvider<AnalyzerProvider<? extends Analyzer>>> all,
            String language,
            CharArraySet stopwords,
            LanguageAnalyzer maker) {
        all.put(language, (index, environment, name, settings) -> {
            Analyzer analyzer = analyzer(environment, settings, stopwords, maker);
            return new Provided(name, analyzer);
        });
    }

    private static Analyzer analyzer(
            Environment environment,
            Settings settings,
            CharArraySet stopwords,
            LanguageAnalyzer maker) {
        return maker.create(
            Analysis.parseStopWords(environment, settings, stopwords),
            Analysis.parseStemExclusion(settings, CharArraySet.EMPTY_SET));
    }
}
